from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFilesStorage(ManifestStaticFilesStorage):
    """Gives static files names with a hash, also where one JavaScript module imports another."""

    support_js_module_import_aggregation = True
