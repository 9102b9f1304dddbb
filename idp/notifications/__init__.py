"""The outbox: mails written with the change they tell of, sent afterwards until done."""
