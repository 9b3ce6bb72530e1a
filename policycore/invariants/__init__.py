"""The promises that production checks on itself: one file per promise, pure; `watch.py` runs them."""

from collections.abc import Callable

from policycore.evidence import Evidence, Violation
from policycore.invariants import late_hand_out, logged_message, opt_out, pause, window

MessageCheck = Callable[[Evidence], list[Violation]]

OF_MESSAGES: dict[str, MessageCheck] = {
    pause.NAME: pause.check,
    window.NAME: window.check,
    opt_out.NAME: opt_out.check,
    late_hand_out.NAME: late_hand_out.check,
    logged_message.NAME: logged_message.check,
}
"""What is asked of every message of ours; decisions and quotas have each a check of their own."""
