"""Keeps what pkg_resources reads in the text of a requirement: buildout asks for the same few again and again."""

import sys


def keep_requirements(names):
    """
    Versions with a grammar of pyparsing's take as long for one as for the rest of a small profile. A run reads each text
    once; what all runs will ask for is read before: buildout itself, and `names`, of which none is taken where it is no use.
    """
    packaging = getattr(sys.modules.get("pkg_resources"), "packaging", None)
    grammar = getattr(getattr(packaging, "requirements", None), "REQUIREMENT", None)
    # Newer ones read by themselves, at once.
    if not hasattr(grammar, "parseString"):
        return
    # Its name of today: the old one warns, in the name of whoever calls it.
    read, kept = getattr(grammar, "parse_string", grammar.parseString), {}

    def read_once(text, *arguments, **options):
        # A marker would be one for all that ask.
        if arguments or options or ";" in text:
            return read(text, *arguments, **options)
        if text not in kept:
            kept[text] = read(text)
        return kept[text].copy()

    grammar.parseString = read_once
    for name in ("zc.buildout", *names):
        try:
            read_once(name)
        except Exception:
            # It is none, as runs will find.
            pass
