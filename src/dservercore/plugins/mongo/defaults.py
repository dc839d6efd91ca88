"""Where documents are kept in MongoDB unless a setting says otherwise."""

#: By the end of the name of each setting.
DEFAULTS = {"URI": "mongodb://localhost:27017/", "DB": "dtool_info", "COLLECTION": "datasets"}
