# A SLAP client as releases use one: over requests, with documents read and written by lxml.
import lxml.etree
import requests


def text_of(value):
    return (value.text or "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def dictionary(element):
    items = list(element)
    return dict(zip(map(text_of, items[::2]), items[1::2]))


class Partition:
    def __init__(self, connection):
        self.url = connection["server-url"]
        self.names = connection["computer-id"], connection["partition-id"]
        self.session = requests.Session()
        # The node's environment has proxies for others than its master.
        self.session.trust_env = False

    def parameters(self):
        query = dict(zip(("computer_reference", "computer_partition_reference"), self.names))
        answer = self.session.get(self.url + "registerComputerPartition", params=query, timeout=60)
        answer.raise_for_status()
        partition = lxml.etree.fromstring(answer.content).find("object")
        found = dictionary(dictionary(partition.find("dictionary"))["_parameter_dict"])
        return {key: text_of(value) for key, value in found.items() if value.tag == "string"}

    def publish(self, values):
        root = lxml.etree.Element("marshal")
        items = lxml.etree.SubElement(root, "dictionary", id="i2")
        for pair in sorted(values.items()):
            for text in pair:
                lxml.etree.SubElement(items, "string").text = text
        form = dict(zip(("computer_id", "computer_partition_id"), self.names))
        form["connection_xml"] = lxml.etree.tostring(root)
        answer = self.session.post(self.url + "setComputerPartitionConnectionXml", data=form, timeout=60)
        answer.raise_for_status()
