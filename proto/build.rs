//! Compiles the contracts, and with them three things that must never drift from them: the descriptor set for
//! reflection, the table of who may call what, and `Debug` output that keeps redacted fields to itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use prost_types::method_options::IdempotencyLevel;

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let files = contracts(Path::new("runwarden"))?;
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    // The dynamic pool keeps custom options; prost_types alone would lose them.
    let descriptors = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("descriptors.binpb"), &descriptors)?;

    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    std::fs::write(out.join("access.rs"), access_table(&pool)?)?;
    std::fs::write(out.join("permissions.rs"), permissions(&pool)?)?;
    std::fs::write(out.join("names.rs"), names(&pool)?)?;
    let (redacted, impls) = redacted_messages(&pool)?;
    std::fs::write(out.join("redacted.rs"), impls)?;

    let mut build = tonic_prost_build::configure().build_transport(false);
    for name in &redacted {
        build = build.skip_debug([name]);
    }
    let set = prost_types::FileDescriptorSet::decode(descriptors.as_slice())?;
    build.compile_fds(set)?;
    println!("cargo:rerun-if-changed=runwarden");
    Ok(())
}

/// Every `.proto` file under a folder.
fn contracts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contracts(&path)?);
        } else if path.extension().is_some_and(|e| e == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// One row for each RPC. An RPC without an `access` option, or with a contradictory one, does not compile.
fn access_table(pool: &DescriptorPool) -> Result<String> {
    let option = pool.get_extension_by_name("runwarden.common.v1.access").context("options.proto defines `access`")?;
    let known: Vec<Permission> = permissions_of(pool)?;
    let mut rows = String::from("&[\n");
    for service in pool.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let options = method.options();
            if !options.has_extension(&option) {
                bail!("{path} does not say who may call it: add `option (runwarden.common.v1.access)`");
            }
            let value = options.get_extension(&option);
            let access = value.as_message().context("`access` is a message")?;
            let services: Vec<String> = access
                .get_field_by_name("services")
                .as_deref()
                .and_then(Value::as_list)
                .map(|l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default();
            let permission = text(access, "permission");
            let without_caller = text(access, "without_caller");
            if services.is_empty() {
                bail!("{path} names no service that may call it");
            }
            if permission.is_empty() == without_caller.is_empty() {
                bail!("{path} must name a permission, or say why it needs no caller: exactly one of them");
            }
            let needs = match known.iter().find(|known| known.name == permission) {
                Some(known) => format!("Some({})", known.path()),
                None if permission.is_empty() => "None".into(),
                None => bail!("{path} needs the permission {permission}, which permission.proto does not have"),
            };
            let level = idempotency(&method);
            let reads = level == IdempotencyLevel::NoSideEffects;
            let for_disabled = flag(access, "for_disabled_tenant");
            if for_disabled && (reads || permission.is_empty()) {
                bail!("{path} needs no `for_disabled_tenant`: it changes nothing, or no caller's tenant is looked at");
            }
            writeln!(
                rows,
                "    Access {{ path: {path:?}, services: &{services:?}, permission: {needs}, without_caller: {without_caller:?}, idempotent: {}, reads: {reads}, streaming: {}, for_disabled_tenant: {} }},",
                level != IdempotencyLevel::IdempotencyUnknown,
                method.is_server_streaming() || method.is_client_streaming(),
                for_disabled || reads,
            )?;
        }
    }
    rows.push(']');
    Ok(rows)
}

/// A name for each value of every enumeration: `JOB_STATE_AWAITING_APPROVAL` is `awaiting_approval`. Those that all
/// contracts share have names of their own.
fn names(pool: &DescriptorPool) -> Result<String> {
    let mut impls = String::new();
    for all in
        pool.all_enums().filter(|all| all.full_name().starts_with("runwarden.") && all.parent_message().is_none())
    {
        if all.package_name() == "runwarden.common.v1" {
            continue;
        }
        let path = all.full_name().trim_start_matches("runwarden.").replace('.', "::");
        let prefix = format!("{}_", shouted(all.name()));
        let mut arms = String::new();
        for value in all.values() {
            let full = value.name();
            let short = full.strip_prefix(&prefix).with_context(|| format!("{full} lacks the enum's prefix"))?;
            let name = if value.number() == 0 { String::new() } else { short.to_lowercase() };
            writeln!(arms, "            Self::{} => {name:?},", variant(short))?;
        }
        writeln!(
            impls,
            "impl {path} {{
    /// Its name in snake case, without the prefix; empty for the unspecified one.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
{arms}        }}
    }}
}}"
        )?;
    }
    Ok(impls)
}

/// `JobState` as `JOB_STATE`.
fn shouted(name: &str) -> String {
    let mut shouted = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            shouted.push('_');
        }
        shouted.push(letter.to_ascii_uppercase());
    }
    shouted
}

/// A value's variant in Rust, as `prost` names it: `AWAITING_APPROVAL` is `AwaitingApproval`.
fn variant(short: &str) -> String {
    let words = short.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_lowercase())
    });
    words.collect()
}

/// A value of the contracts' `Permission`.
struct Permission {
    /// Its name as in `PERMISSION_JOBS_SUBMIT`, without the prefix.
    value: String,
    /// Its name everywhere else: `jobs.submit`.
    name: String,
    /// What it allows.
    description: String,
}

impl Permission {
    /// Its variant in Rust, as `prost` names it.
    fn path(&self) -> String {
        format!("common::v1::Permission::{}", variant(&self.value))
    }
}

/// Every permission but the unspecified one.
fn permissions_of(pool: &DescriptorPool) -> Result<Vec<Permission>> {
    let all =
        pool.get_enum_by_name("runwarden.common.v1.Permission").context("permission.proto defines `Permission`")?;
    let file = all.parent_file();
    let comments = file.file_descriptor_proto().source_code_info.as_ref().context("comments are kept")?;
    let mut found = Vec::new();
    for value in all.values().filter(|value| value.number() != 0) {
        let full = value.name();
        let short = full.strip_prefix("PERMISSION_").with_context(|| format!("{full} lacks the enum's prefix"))?;
        let (noun, verb) = short.split_once('_').with_context(|| format!("{full} is not a noun and a verb"))?;
        let comment =
            comments.location.iter().find(|place| place.path == value.path()).map(|place| place.leading_comments());
        let description = comment.unwrap_or_default().trim().to_owned();
        if verb.is_empty() || verb.contains('_') || description.is_empty() {
            bail!("{full} must be a noun and a verb, with a comment that says what it allows");
        }
        let name = format!("{noun}.{verb}").to_lowercase();
        found.push(Permission { value: short.to_owned(), name, description });
    }
    Ok(found)
}

/// What Rust knows of permissions beyond the enum itself: their names and what they allow.
fn permissions(pool: &DescriptorPool) -> Result<String> {
    let (mut all, mut names, mut descriptions) = (String::new(), String::new(), String::new());
    for permission in permissions_of(pool)? {
        let path = permission.path();
        writeln!(all, "        {path},")?;
        writeln!(names, "            {path} => {:?},", permission.name)?;
        writeln!(descriptions, "            {path} => {:?},", permission.description)?;
    }
    Ok(format!(
        "impl common::v1::Permission {{
    /// Every permission there is.
    pub const ALL: &'static [Self] = &[
{all}    ];

    /// Its name, `<noun>.<verb>`; empty for the unspecified one.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
            Self::Unspecified => \"\",
{names}        }}
    }}

    /// What it allows, in a sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {{
        match self {{
            Self::Unspecified => \"\",
{descriptions}        }}
    }}
}}
"
    ))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn flag(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).as_deref().and_then(Value::as_bool).unwrap_or_default()
}

/// What the standard `idempotency_level` says: whether repeating the call is harmless, whether it changes anything.
fn idempotency(method: &MethodDescriptor) -> IdempotencyLevel {
    let options = method.method_descriptor_proto().options.as_ref();
    options.map_or(IdempotencyLevel::IdempotencyUnknown, prost_types::MethodOptions::idempotency_level)
}

/// Messages with a `debug_redact` field, and a `Debug` for each that names the message and nothing in it.
fn redacted_messages(pool: &DescriptorPool) -> Result<(Vec<String>, String)> {
    let mut names = Vec::new();
    let mut impls = String::new();
    for message in pool.all_messages() {
        let secret = message.fields().any(|field| {
            field.options().get_field_by_name("debug_redact").as_deref().and_then(Value::as_bool).unwrap_or(false)
        });
        if !secret {
            continue;
        }
        let name = message.full_name();
        let path = name.replace('.', "::");
        names.push(format!(".{name}"));
        writeln!(
            impls,
            "impl core::fmt::Debug for crate::{path} {{\n    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {{\n        f.write_str(\"{} {{ <redacted> }}\")\n    }}\n}}",
            message.name(),
        )?;
    }
    let impls = impls.replace("crate::runwarden::", "crate::");
    Ok((names, impls))
}
