//! What a mapping makes of an offer: the schema, the fixed values, the pinned fingerprint and the digest of it all.

use runwarden_kit::Result;

use super::fixed::Fixed;
use super::schema::Schema;
use super::{Template, digest, suitability};
use crate::port::Description;

/// Maps a template to what its controller offers, or says why that is not what the operator wants.
pub(super) fn pin(template: &mut Template, found: Description, written: &Schema, fixed: &Fixed) -> Result<()> {
    let schema = suitability::check(&found, written, fixed, template.request_info)?;
    let offer = found.offer;
    template.parameters_schema = schema.text();
    // Kept for the next time: what the controller takes may be more by then.
    template.written_schema = if schema == *written { String::new() } else { written.text() };
    template.fixed = fixed.text();
    template.launch_digest = digest::launch(template, &schema, fixed, &offer.fingerprint);
    template.controller_template_name = offer.name;
    template.fingerprint = offer.fingerprint;
    template.fingerprint_parts = offer.fingerprint_parts;
    template.drift.clear();
    Ok(())
}
