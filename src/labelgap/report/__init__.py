"""Pictures and self-contained pages of results.

`folder.write_report` makes all of one run's folder. `style` and `page` are what every report
shares. Nothing is imported here: matplotlib and scikit-learn take seconds, and a room that only
wants `explain`'s words must not wait for them.
"""
