"""People: sign-up, e-mail addresses, enrolment links and the account pages."""
