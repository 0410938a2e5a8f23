from zope.interface import Interface


class IPromise(Interface):
    """What a promise can be asked for: sense, test, anomaly."""
