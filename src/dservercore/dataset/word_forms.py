"""Words that count as the same although neither their letters nor the English stemmer say so.

All of it is here: plurals that the stemmer leaves apart from their singular, and British beside American spelling.
"""

from __future__ import annotations

import re

# A singular, and its plurals.
_PLURALS = """
addendum addenda; alumnus alumni; alveolus alveoli; anastomosis anastomoses; annulus annuli; apex apices
appendix appendices; aquarium aquaria; arthrosis arthroses; atrium atria; automaton automata; axis axes
bacillus bacilli; bacterium bacteria; basis bases; bronchus bronchi; bureau bureaux; bus buses busses; cactus cacti
calculus calculi; calf calves; calyx calyces; carcinoma carcinomata; cervix cervices; child children; cilium cilia
coccus cocci; codex codices; consortium consortia; corpus corpora; cranium crania; crisis crises; criterion criteria
cumulus cumuli; curriculum curricula; datum data; diagnosis diagnoses; die dice; dwarf dwarves; elf elves
ellipsis ellipses; embolus emboli; emphasis emphases; endothelium endothelia; epithelium epithelia
equilibrium equilibria; erratum errata; femur femora; fibrosis fibroses; flagellum flagella; focus foci; foot feet
foramen foramina; forum fora; fungus fungi; ganglion ganglia; gas gases gasses; genius genii; genus genera
glomerulus glomeruli; goose geese; half halves; helix helices; herbarium herbaria; hippocampus hippocampi; hoof hooves
humerus humeri; hypothalamus hypothalami; index indices; knife knives; larynx larynges; leaf leaves; lemma lemmata
life lives; loaf loaves; locus loci; louse lice; lumen lumina; man men; maximum maxima; medium media; meiosis meioses
memorandum memoranda; meniscus menisci; metamorphosis metamorphoses; metastasis metastases; millennium millennia
minimum minima; mitochondrion mitochondria; mitosis mitoses; modulus moduli; momentum momenta; mouse mice
mycelium mycelia; necrosis necroses; neurosis neuroses; nucleolus nucleoli; nucleus nuclei; oasis oases
optimum optima; ovum ova; ox oxen; phalanx phalanges; phenomenon phenomena; phylum phyla; plateau plateaux
polyhedron polyhedra; prognosis prognoses; protozoon protozoa; psychosis psychoses; quantum quanta; quiz quizzes
radius radii; radix radices; ramus rami; sarcoma sarcomata; scarf scarves; schema schemata; sclerosis scleroses
self selves; septum septa; serum sera; sheaf sheaves; shelf shelves; simplex simplices; spectrum spectra
spermatozoon spermatozoa; staphylococcus staphylococci; stenosis stenoses; sternum sterna; stigma stigmata
stimulus stimuli; stoma stomata; stratum strata; streptococcus streptococci; sulcus sulci; syllabus syllabi
symbiosis symbioses; symposium symposia; synopsis synopses; taxon taxa; terminus termini; testis testes
thalamus thalami; thesaurus thesauri; thief thieves; thrombosis thromboses; thrombus thrombi; tooth teeth; torus tori
uterus uteri; villus villi; wharf wharves; wife wives; wolf wolves; woman women
"""

# American, and British.
_SPELLINGS = """
aluminum aluminium; analyze analyse; anemia anaemia; anesthesia anaesthesia
archeology archaeology;behavior behaviour; caliber calibre; catalog catalogue; center centre
centimeter centimetre; color colour; defense defence; dialog dialogue; edema oedema; esophagus oesophagus
estrogen oestrogen; favor favour; fetal foetal; fetus foetus; fiber fibre; flavor flavour; gray grey; harbor harbour
hematology haematology; hemoglobin haemoglobin; hemorrhage haemorrhage; kilometer kilometre; labor labour
leukemia leukaemia; license licence; liter litre; meter metre; microliter microlitre; micrometer micrometre
milliliter millilitre; millimeter millimetre; mold mould; nanometer nanometre; neighbor neighbour; odor odour
paralyze paralyse; pediatric paediatric; plow plough; program programme; sulfate sulphate; sulfide sulphide
sulfur sulphur; theater theatre; tire tyre; tumor tumour; vapor vapour; vigor vigour
"""

# Endings of plurals, and of their singulars.
_ENDINGS = [
    (re.compile("yses$"), "ysis"),  # analyses, dialyses
    (re.compile("(?<!ma)theses$"), "thesis"),  # hypotheses, syntheses
    (re.compile("geneses$"), "genesis"),
    (re.compile("trices$"), "trix"),  # matrices
    (re.compile("rtices$"), "rtex"),  # vertices, cortices
]


def _pairs(table: str) -> dict[str, str]:
    lines = re.split(r"[;\n]", table.strip())
    return {other: first for first, *others in map(str.split, lines) for other in others}


#: A plural that the stemmer leaves apart from its singular, to that.
SINGULARS = _pairs(_PLURALS)

#: A British spelling, to the American one.
SPELLINGS = _pairs(_SPELLINGS)


def singular(word: str) -> str:
    """Return the singular of a folded word, if it is a plural that the stemmer would take for another word."""
    known = SINGULARS.get(word)
    if known is not None:
        return known
    if word.endswith("es"):
        for ending, other in _ENDINGS:
            if ending.search(word):
                return ending.sub(other, word)
    return word
