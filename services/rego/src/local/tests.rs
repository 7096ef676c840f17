use runwarden_kit::caller::Scope;
use runwarden_kit::clock::{HeldClock, Moment};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use serde_json::{Value, json};

use super::*;
use crate::decision::Refusal;
use crate::set::ModuleText;

fn acme() -> TenantId {
    TenantId::trusted("acme")
}

fn set(rules: &str) -> Arc<Set> {
    let rego = format!("package runwarden.authz\n{rules}\n");
    Arc::new(Set::of(vec![ModuleText { name: "m".to_owned(), rego }]))
}

fn none() -> Arc<Set> {
    Arc::new(Set::of(Vec::new()))
}

fn sets(platform: Arc<Set>, tenant: Arc<Set>) -> [(Owner, Arc<Set>); 2] {
    [(Owner::Platform, platform), (Owner::Tenant(acme()), tenant)]
}

fn question(parameters: Value) -> Question {
    let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
    Question {
        tenant: acme(),
        project: "web".to_owned(),
        action: Permission::JobsSubmit,
        template: "deploy".to_owned(),
        controller: "awx".to_owned(),
        parameters,
    }
}

fn caller() -> Caller {
    Caller::example(&[Permission::JobsSubmit], Scope::tenant(&acme()))
}

fn local() -> (Local, Arc<HeldClock>) {
    let clock = Arc::new(HeldClock::at(Moment::from_micros(1_763_000_000_000_000)));
    (Local::new(clock.clone()), clock)
}

/// As the policy service decides: with every set that has modules, wherever they are evaluated.
fn elsewhere(clock: &HeldClock, question: &Question, sets: &[(Owner, Arc<Set>)]) -> Decision {
    let caller = caller();
    let mut inquiry = Inquiry::begin(&caller, question, clock.now()).unwrap();
    let mut refusal = inquiry.refused_by_roles();
    for (owner, set) in sets.iter().filter(|(_, set)| !set.texts.is_empty()) {
        if refusal.is_none() {
            inquiry.consult(owner, &set.named);
            let compiled = compile(&set.texts, Duration::from_secs(5)).ok().unwrap();
            refusal = Refusal::of(owner, compiled.evaluate(inquiry.input()));
        }
    }
    inquiry.end(refusal)
}

#[test]
fn a_yes_is_the_same_wherever_it_is_decided_and_there_is_nothing_but_a_yes() {
    let rules = [
        "allow := true",
        "allow := false",
        "default allow := false\nallow if input.parameters.n < 3",
        "deny contains \"no\" if input.parameters.n > 2",
        "deny contains sprintf(\"%s\", [key]) if { some key, _ in input.parameters\n\tkey != \"n\" }",
        "allow := to_number(input.parameters.word) > 2",
        "allow if \"example\" in input.principal.roles",
        "hour := time.clock(time.parse_rfc3339_ns(input.time))[0]\nallow if hour < 24",
        "allow if count(numbers.range(1, input.parameters.n)) < 3",
        "reasons contains \"never\"",
    ];
    let inputs = [json!({}), json!({"n": 1}), json!({"n": 5}), json!({"n": 1, "word": "3"}), json!({"word": "word"})];
    let all: Vec<_> = std::iter::once(none()).chain(rules.iter().map(|rules| set(rules))).collect();
    let mut yes = 0;
    for (platform, tenant) in all.iter().flat_map(|one| all.iter().map(move |other| (one.clone(), other.clone()))) {
        // Compiling all of them is more than one tenant may owe.
        let (local, clock) = local();
        let sets = sets(platform, tenant);
        for parameters in &inputs {
            let question = question(parameters.clone());
            let there = elsewhere(&clock, &question, &sets);
            if let Some(here) = local.allows(&caller(), &question, &sets) {
                yes += 1;
                assert_ne!(here.id, there.id);
                assert_eq!(Decision { id: there.id.clone(), ..here }, there);
            }
        }
    }
    assert!(yes > 100, "only {yes}");
}

#[test]
fn what_is_not_a_plain_yes_is_left_to_the_policy_service() {
    let (local, _) = local();
    let asked = |rules: &str, parameters: Value| {
        local.allows(&caller(), &question(parameters), &sets(none(), set(rules))).is_some()
    };
    assert!(asked("allow := true", json!({})));
    for (what, rules) in [
        ("a no", "allow := false"),
        ("nothing said", "allow if input.parameters.x"),
        ("an error", "allow if to_number(input.tenant) > 1"),
        ("a set that is not vetted", "allow if count(numbers.range(1, 2)) == 2"),
        ("a set that does not compile", "allow :="),
    ] {
        assert!(!asked(rules, json!({})), "{what}");
    }
    assert!(!asked("allow := true", json!({"long": "x".repeat(MAX_INPUT_BYTES)})), "an input that is too long");
    let nobody = Caller::example(&[], Scope::tenant(&acme()));
    assert!(local.allows(&nobody, &question(json!({})), &sets(none(), none())).is_none(), "no role");
    let mut misspelt = question(json!({}));
    misspelt.project = "Web Site".to_owned();
    assert!(local.allows(&caller(), &misspelt, &sets(none(), none())).is_none(), "a question that makes no sense");
}

/// Goes through all pairs unless there is one element only.
const PAIRS: &str = "allow if count(input.parameters.l) < 2\n\
    allow if {\n\tsome a in input.parameters.l\n\tsome b in input.parameters.l\n\ta + b < 0\n}";

#[test]
fn a_tenant_whose_policy_is_slow_pays_alone() {
    let (local, _) = local();
    let pairs = set(PAIRS);
    let quick = question(json!({"l": [1]}));
    let slow = question(json!({"l": (0..1500).collect::<Vec<i32>>()}));
    let asked = |question: &Question, tenants: &Arc<Set>| {
        local.allows(&caller(), question, &sets(pairs.clone(), tenants.clone())).is_some()
    };
    assert!(asked(&quick, &none()));
    // Each is ended by its limit. On an idle machine ten or so are more than a tenant may owe; on a busy one they get less
    // of the processor, and more are needed.
    let rests = (0..500).any(|_| {
        assert!(!asked(&slow, &none()));
        !asked(&quick, &none())
    });
    assert!(rests);
    let own = set("allow := true");
    assert!(local.allows(&caller(), &quick, &sets(none(), own)).is_none(), "with whichever policies");
    // The same policy goes on, the platform's, with other tenants' requests.
    let beta = TenantId::trusted("beta");
    let somebody = Caller::example(&[Permission::JobsSubmit], Scope::tenant(&beta));
    let other = Question { tenant: beta, ..quick };
    assert!(local.allows(&somebody, &other, &[(Owner::Platform, pairs.clone())]).is_some());
}

#[test]
fn what_may_not_be_evaluated_here_is_found_out_once() {
    let (local, _) = local();
    let unfit = set("allow if count(numbers.range(1, 2)) == 2");
    for _ in 0..2 {
        assert!(local.allows(&caller(), &question(json!({})), &sets(none(), unfit.clone())).is_none());
        assert!(local.unfit.contains(&unfit));
    }
    let fit = set("allow := true");
    assert!(local.allows(&caller(), &question(json!({})), &sets(none(), fit.clone())).is_some());
    assert!(!local.unfit.contains(&fit));
}

#[test]
fn compiling_is_a_part_of_what_a_tenant_pays() {
    let (local, _) = local();
    // Each is another set, and its text takes a while to compile; evaluating it is quick.
    let lines = "\tinput.parameters.a != \"0123456789\"\n".repeat(500);
    let rested = (0..2_000).any(|n| {
        let fresh = set(&format!("allow if true\nx{n} if {{\n{lines}}}"));
        local.allows(&caller(), &question(json!({})), &sets(none(), fresh)).is_none()
    });
    assert!(rested);
    assert!(local.paces.rests(&acme()));
}
