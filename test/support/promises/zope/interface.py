"""As much of zope.interface as promises use."""


class Interface(object):
    @classmethod
    def implementedBy(cls, other):
        return cls in getattr(other, "__implemented__", ())


def implementer(*interfaces):
    def declare(cls):
        cls.__implemented__ = interfaces
        return cls

    return declare
