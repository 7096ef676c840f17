//! The hook, its key and its module.

use anyhow::anyhow;
use runwarden_kit::ExposeSecret as _;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_proto::hook::v1::hook_service_client::HookServiceClient;
use runwarden_proto::hook::v1::{
    CreateHookRequest, GetHookRequest, Hook, RetireHookKeyRequest, RotateHookKeyRequest, UpdateHookRequest,
};
use serde_json::{Map, Value, json};

use super::failpoint::At;
use super::install::{Installer, PROJECT};
use super::mapping::Mapping;
use super::memory::Memory;
use super::problem::{Made, Problem, because, found, from};
use super::{HOOK, TENANT};

/// The setting of a hook whose key may be short.
const ALLOW_WEAK_KEY: &str = "allow_weak_key";
/// What the memory calls the hook's module, and one that is about to be the hook's.
const MODULE: &str = "module";
const NEXT_MODULE: &str = "module to come";

impl Installer<'_> {
    fn hooks(&self) -> Made<HookServiceClient<MeshChannel>> {
        Ok(HookServiceClient::new(self.channel(Service::Hook)?))
    }

    pub(super) async fn find_hook(&self) -> Made<Option<Hook>> {
        let asked = self.hooks()?.get_hook(GetHookRequest { name: HOOK.to_owned() }).await.map_err(from(Service::Hook));
        Ok(found(asked).map_err(because("looking for the hook"))?.and_then(|answer| answer.into_inner().hook))
    }

    pub(super) async fn make_hook(&self, account: &str, mapping: Option<Mapping>, memory: &mut Memory) -> Made {
        let module = self.module(mapping).await?;
        let key = self.environment.key.expose_secret();
        let settings = self.settings(&Map::new(), false);
        let request = CreateHookRequest {
            name: HOOK.to_owned(),
            project: PROJECT.to_owned(),
            template: self.template_name(),
            kind: "run_task".to_owned(),
            settings_json: Value::Object(settings).to_string(),
            client_id: account.to_owned(),
            module: module.clone(),
            description: "Stands in for the Terraform run task proxy, as the environment says".to_owned(),
            key: key.to_owned(),
        };
        // Before it is made: whatever dies after that, the module is known to be ours.
        memory.keep(NEXT_MODULE, &module).map_err(Problem::Wrong)?;
        self.remember_leave(memory)?;
        let made = self.hooks()?.create_hook(request).await;
        made.map_err(from(Service::Hook)).map_err(because("making the hook"))?;
        self.failpoint.pass(At::HookMade);
        memory.keep(MODULE, &module).map_err(Problem::Wrong)?;
        memory.keep("HMAC_KEY", key).map_err(Problem::Wrong)
    }

    /// Makes HMAC_KEY the hook's only key, unless it is that. Answers the hook as it is then.
    pub(super) async fn take_key(&self, hook: Hook, memory: &mut Memory, told: &mut Vec<String>) -> Made<Hook> {
        if hook.kind != "run_task" {
            return Err(Problem::Wrong(anyhow!(
                "there is a hook {HOOK} of kind {} in tenant {TENANT}: remove it, or unset AAP_HOST and the rest",
                hook.kind
            )));
        }
        let key = self.environment.key.expose_secret();
        if memory.knows("HMAC_KEY", key) {
            return Ok(hook);
        }
        // One that is not remembered may be the hook's all the same: then it was made, and that could not be written.
        let changed = memory.has("HMAC_KEY");
        let mut settings = settings_of(&hook);
        if self.environment.has_weak_key() && !allows_weak_key(&settings) {
            settings.insert(ALLOW_WEAK_KEY.to_owned(), json!(true));
            self.remember_leave(memory)?;
            let request = UpdateHookRequest {
                name: HOOK.to_owned(),
                settings_json: Some(Value::Object(settings).to_string()),
                ..UpdateHookRequest::default()
            };
            let updated = self.hooks()?.update_hook(request).await;
            updated.map_err(from(Service::Hook)).map_err(because("letting the hook have a weak key"))?;
        }
        self.failpoint.pass(At::KeyAllowed);
        self.rekey(&hook, key).await?;
        self.failpoint.pass(At::KeyRetired);
        memory.keep("HMAC_KEY", key).map_err(Problem::Wrong)?;
        if changed {
            told.push("HMAC_KEY has changed: from now on only requests signed with the new one are taken".to_owned());
        }
        match self.find_hook().await? {
            Some(hook) => Ok(hook),
            None => Err(Problem::Later(anyhow!("hook {HOOK} was removed a moment ago"))),
        }
    }

    /// Brings a hook in line with what the environment says, and leaves what it does not speak of.
    pub(super) async fn agree(
        &self,
        hook: Hook,
        mapping: Option<Mapping>,
        memory: &mut Memory,
        told: &mut Vec<String>,
    ) -> Made {
        let template = self.template_name();
        let before = settings_of(&hook);
        // The leave to be weak goes with the last weak key, if it was given here.
        let leave_ends = memory.knows(ALLOW_WEAK_KEY, "given")
            && !self.environment.has_weak_key()
            && !hook.keys.iter().any(|key| key.weak);
        let settings = self.settings(&before, leave_ends);
        let other_template = hook.template != template;
        let made_here = memory.knows(MODULE, &hook.module) || memory.knows(NEXT_MODULE, &hook.module);
        let module = match mapping {
            mapping if made_here && (mapping.is_some() || other_template) => Some(self.module(mapping).await?),
            _ => None,
        };
        let module = module.filter(|module| *module != hook.module);
        if other_template && !made_here {
            told.push(format!(
                "warning: the module of hook {HOOK} was changed by somebody and stays: see that it fits template {template}"
            ));
        }
        if let Some(module) = &module {
            memory.keep(NEXT_MODULE, module).map_err(Problem::Wrong)?;
        }
        if other_template || settings != before || module.is_some() {
            let request = UpdateHookRequest {
                name: HOOK.to_owned(),
                template: other_template.then_some(template),
                settings_json: (settings != before).then(|| Value::Object(settings).to_string()),
                module: module.clone(),
                ..UpdateHookRequest::default()
            };
            let updated = self.hooks()?.update_hook(request).await;
            updated.map_err(from(Service::Hook)).map_err(because("changing the hook"))?;
            self.failpoint.pass(At::HookChanged);
        }
        if leave_ends {
            memory.forget(ALLOW_WEAK_KEY).map_err(Problem::Wrong)?;
        }
        let current = module.as_ref().unwrap_or(&hook.module);
        if made_here && !memory.knows(MODULE, current) {
            memory.keep(MODULE, current).map_err(Problem::Wrong)?;
        }
        Ok(())
    }

    /// What maps requests to the template.
    async fn module(&self, mapping: Option<Mapping>) -> Made<String> {
        let mapping = match mapping {
            Some(mapping) => mapping,
            None => Mapping::of(&self.offered().await?).map_err(Problem::Wrong)?,
        };
        Ok(mapping.module(self.environment.template))
    }

    /// Makes this the hook's only key.
    async fn rekey(&self, hook: &Hook, key: &str) -> Made {
        let mut old: Vec<String> = hook.keys.iter().map(|key| key.id.clone()).collect();
        // It may have two; while there are two, no third is taken.
        while old.len() > 1 {
            self.retire(old.remove(0)).await?;
        }
        let request = RotateHookKeyRequest { name: HOOK.to_owned(), key: key.to_owned() };
        let rotated = self.hooks()?.rotate_hook_key(request).await;
        rotated.map_err(from(Service::Hook)).map_err(because("replacing the hook's key by HMAC_KEY"))?;
        self.failpoint.pass(At::KeyAdded);
        for key_id in old {
            self.retire(key_id).await?;
        }
        Ok(())
    }

    async fn retire(&self, key_id: String) -> Made {
        let request = RetireHookKeyRequest { name: HOOK.to_owned(), key_id };
        let retired = self.hooks()?.retire_hook_key(request).await.map_err(from(Service::Hook));
        retired.map_err(because("retiring the hook's old key"))?;
        Ok(())
    }

    /// The hook's settings: what the environment speaks of, and whatever else they were.
    fn settings(&self, before: &Map<String, Value>, leave_ends: bool) -> Map<String, Value> {
        let mut settings = before.clone();
        let terraform = self.environment.terraform.as_ref().map_or("any", |terraform| terraform.address.as_str());
        settings.insert("terraform".to_owned(), json!(terraform));
        if self.environment.has_weak_key() {
            settings.insert(ALLOW_WEAK_KEY.to_owned(), json!(true));
        } else if leave_ends {
            settings.remove(ALLOW_WEAK_KEY);
        }
        settings
    }

    /// Remembers that the leave to have a weak key was given here: what a person gives stays.
    fn remember_leave(&self, memory: &mut Memory) -> Made {
        if self.environment.has_weak_key() {
            memory.keep(ALLOW_WEAK_KEY, "given").map_err(Problem::Wrong)?;
        }
        Ok(())
    }
}

fn settings_of(hook: &Hook) -> Map<String, Value> {
    serde_json::from_str(&hook.settings_json).unwrap_or_default()
}

fn allows_weak_key(settings: &Map<String, Value>) -> bool {
    settings.get(ALLOW_WEAK_KEY) == Some(&Value::Bool(true))
}
