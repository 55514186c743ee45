"""The conformance kit: a plugin in its own process, against a fake program that also fails."""

from llmos.plugins.conformance.kit import check_plugin
from llmos.plugins.conformance.report import Finding, Report
from llmos.plugins.conformance.schemas import write_schemas

__all__ = ["Finding", "Report", "check_plugin", "write_schemas"]
