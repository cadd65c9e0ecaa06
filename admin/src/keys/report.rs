//! What came of a file of keys, as comma-separated values.

use admin_types::keys::BulkKeys;
use time::format_description::well_known::Rfc3339;

use crate::sheet;

/// The keys with their secrets, or what a dry run has found to be wrong.
pub(crate) fn as_csv(report: &BulkKeys) -> String {
    let mut out = String::new();
    if report.keys.is_empty() {
        sheet::write(&mut out, ["row", "column", "detail"]);
        for problem in &report.errors {
            let row = problem.row.to_string();
            sheet::write(&mut out, [row.as_str(), problem.column.as_deref().unwrap_or_default(), &problem.detail]);
        }
        return out;
    }
    sheet::write(&mut out, ["id", "tenant_id", "name", "secret", "redacted", "expires_at"]);
    for made in &report.keys {
        let key = &made.key;
        let (id, tenant) = (key.id.to_string(), key.tenant_id.to_string());
        let expires_at = key.expires_at.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default();
        sheet::write(&mut out, [&id, &tenant, &key.name, &made.secret, &key.redacted, &expires_at]);
    }
    out
}
