//! The pages under `docs/hooks/` and the code say the same.

use serde_json::Value;

use crate::{Reason, Receiver, Weakness, kinds};

fn page(name: &str) -> String {
    let path = format!("{}/../../docs/hooks/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_kind_has_a_page_whose_hooks_can_be_configured() {
    for kind in kinds() {
        let page = page(&kind.name.replace('_', "-"));
        let hooks: Vec<Value> = page
            .split("```json\n")
            .skip(1)
            .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
            .collect();
        assert!(!hooks.is_empty(), "{}", kind.name);
        for hook in hooks {
            assert_eq!(hook["kind"], kind.name);
            Receiver::parse(kind.name, hook["settings"].as_object().unwrap()).unwrap();
        }
    }
}

#[test]
fn every_code_that_a_sender_or_a_hook_shows_is_explained() {
    let page = page("README");
    for reason in Reason::ALL {
        assert!(page.contains(&format!("`{}`", reason.code())), "{reason:?}");
    }
    let weak = [
        Weakness::BodyUnsigned,
        Weakness::KeyInAddress,
        Weakness::Replayable,
        Weakness::ReplayableBriefly,
        Weakness::NoIds,
        Weakness::Sha1,
        Weakness::WeakKey,
    ];
    for weakness in weak {
        assert!(page.contains(&format!("`{}`", weakness.code())), "{weakness:?}");
    }
    for kind in kinds() {
        assert!(page.contains(&format!("[`{}`]({}.md)", kind.name, kind.name.replace('_', "-"))), "{}", kind.name);
    }
}
