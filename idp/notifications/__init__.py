"""The outbox: mails written with the change they tell of, sent afterwards until done.

It owns the words of mails, their safe form and their way out. It does not decide who is told what, and it
knows no keys: whoever writes or sends hands in what seals the values.
"""
