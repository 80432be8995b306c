"""CVAT: tags that were given there come out of its export, images to tag next go in, guessed."""

from xml.etree import ElementTree

import numpy as np

import labelgap

# Yours: images, what your network says of them, and annotations.xml: Export task dataset, in the
# format "CVAT for images 1.1", of a task whose labels are tags.
images, names = [f"photos/{i}.jpg" for i in range(40)], ["cat", "dog", "owl"]
rng = np.random.default_rng(0)
features, chances = rng.standard_normal((40, 16)), rng.dirichlet([1, 1, 1], 40)

# labelgap:
done = ElementTree.parse("annotations.xml").iter("image")
tags = {image.attrib["name"]: image[0].attrib["label"] for image in done}
known = {"labelled": list(tags), "labels": list(tags.values())}
asked = labelgap.choose(5, features, probabilities=chances, ids=images, classes=names, **known)
root = ElementTree.Element("annotations")
for name, guess in zip(asked.ids, asked.pseudo_label, strict=True):
    image = ElementTree.SubElement(root, "image", id=str(len(root)), name=name)
    ElementTree.SubElement(image, "tag", label=names[guess], source="auto")
ElementTree.ElementTree(root).write("next.xml")  # a task of these images; Upload annotations
