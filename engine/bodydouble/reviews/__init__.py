"""Reviews: what is measured of a result, and the pages, films and credentials that show it."""
