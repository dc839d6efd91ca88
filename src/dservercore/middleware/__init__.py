"""What goes on around every request, whatever answers it: proxies, the request log, headers, bodies nobody reads."""
