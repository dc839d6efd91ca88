"""Words that say nothing of what a dataset is about: where not all is found that is asked for, they do not matter."""

from __future__ import annotations

_WORDS = """
a about above across after again against all along also although always am among an and another any anybody anyone
anything are around as at away be became because become been before behind being below between both but by came
can cannot come could did do does doing done down during each either else ever every everything few find for from
get gets give given go goes going got had has have having he hence her here hers him his how however i if in
inside instead into is it its itself just least less let like look looking made make many may maybe me might mine
more most much must my need neither never no nobody none nor not nothing now of off often on once one ones only
onto or other others our ours out over own per perhaps please quite rather really same search seem seems several
shall she should show since so some somebody something somewhere still such than that the their theirs them then
there thereby these they thing things this those though through thus to together too toward towards under until up
upon us use used uses using various very via want was we were what whatever when where whether which while who
whole whom whose why will with within without would yet you your yours
"""

#: English words, folded.
STOP_WORDS = frozenset(_WORDS.split())
