"""Providers of OpenID Connect: who signs in with one, and whose its access tokens are.

The settings say which providers there are (``providers``). What one publishes about itself is fetched and kept
(``published``), by requests that are bounded (``outgoing``). With it, its tokens are verified (``tokens``), which say
who somebody is: at the end of a sign-in (``sign_in``), or with each request of a program (``bearer``).
"""
