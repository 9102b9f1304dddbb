// OAuth 2.0 Form Post Response Mode: the page is one form with the answer, and sends itself.

document.forms[0].submit();
