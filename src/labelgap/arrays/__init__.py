"""One call on arrays, for people who train elsewhere: which items next, and what is not covered."""
