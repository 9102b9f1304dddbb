"""The HTTP edge, ignorant of OAuth: headers, request id, addresses, limits, forms, CSRF, pages, errors."""
