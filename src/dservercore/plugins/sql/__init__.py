"""The bundled search and retrieve plugins on the SQL database that holds the datasets."""
