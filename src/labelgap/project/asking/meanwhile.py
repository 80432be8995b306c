"""What the first question needs is loaded while the images are read, which waits for the disk and
for the processes that decode.

Light itself: torch comes in the thread.
"""

import logging
import threading


def load_meanwhile() -> threading.Thread:
    """Begin to load torch and the engine of features in a thread, and return it.

    Loading torch takes two seconds of one core. Whoever needs a module first waits for it as for
    any import. A daemon: Ctrl-C and errors end the program without it.
    """
    thread = threading.Thread(target=_load, name="load", daemon=True)
    thread.start()
    return thread


def _load() -> None:
    try:
        import labelgap.frozen.freeze
        import labelgap.project.asking.work

        labelgap.frozen.engine.import_openvino()
    except ImportError as error:
        # Whoever needs it imports it too, and says what is missing and how to get it.
        logging.getLogger(__name__).info("not loaded ahead: %s", error)
