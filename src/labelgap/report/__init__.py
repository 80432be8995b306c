"""Pictures and self-contained pages of results.

`write_report` makes all of one run's folder. `style` and `page` are what every report shares.
"""

from labelgap.report.curve import curve
from labelgap.report.folder import write_report
from labelgap.report.scatter import embedding

__all__ = ["curve", "embedding", "write_report"]
