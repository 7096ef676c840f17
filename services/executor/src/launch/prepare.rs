//! What must hold before a launch may be sent: the template is still what the job was accepted for, the controller's
//! template is still what an operator mapped, and nothing that was asked would be dropped.

use std::sync::Arc;

use runwarden_kit::Result;
use serde_json::{Map, Value};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_awx::{
    AwxError, Installation, LaunchBody, LaunchInput, Marker, MarkerPlacement, Objects, Problem, Setting, TemplateView,
    pinned_installation, preflight,
};

use crate::job::{Job, JobState, Told, reason};
use crate::launch::halt::Halt;
use crate::launch::protocol::Stop;
use crate::ports::{self, Seals, Template, Templates, opened_object};

/// A launch that may be sent.
pub struct Prepared {
    /// The request.
    pub body: LaunchBody,
    /// What marks the run.
    pub marker: String,
    /// Where the marker is.
    pub placement: MarkerPlacement,
    /// What the run is told about its request.
    pub told: Told,
}

impl Prepared {
    /// Whether its run can be identified by a marker.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.placement != MarkerPlacement::None
    }
}

fn error(reason: &'static str, detail: impl Into<String>) -> Halt {
    Stop::End(JobState::Error, reason, detail.into()).into()
}

/// Why what a job was accepted for no longer holds; none if it does.
#[must_use]
pub fn groundless(template: Option<&Template>, job: &Job) -> Option<(&'static str, &'static str)> {
    let Some(template) = template else {
        return Some((reason::TEMPLATE_REMOVED, "The template was removed before the job was launched."));
    };
    if template.tenant_disabled {
        return Some((reason::TENANT_DISABLED, "The tenant was disabled before the job was launched."));
    }
    let changed = "The template was changed before the job was launched, so the decision no longer applies.";
    (template.launch_digest != job.launch_digest).then_some((reason::TEMPLATE_CHANGED, changed))
}

/// The template as it is now, if it is still what the job was accepted for.
pub async fn current_template(templates: &dyn Templates, job: &Job) -> Result<Arc<Template>, Halt> {
    let judge = |template: Option<Arc<Template>>| match (groundless(template.as_deref(), job), template) {
        (None, Some(template)) => Ok(template),
        (Some((reason, detail)), _) => Err(error(reason, detail)),
        (None, None) => Err(Halt::Lost),
    };
    ports::judged(templates, &job.tenant, &job.template, judge).await
}

/// What it means that the controller's template cannot be read. Only AWX's own refusal ends the job; everything else is
/// trouble on the way that passes.
pub fn unreadable(failure: &AwxError) -> Halt {
    let detail = format!("Reading the controller's template: {failure}.");
    if failure.is_refusal() { error(reason::CONTROLLER_REFUSED, detail) } else { Stop::Later(detail).into() }
}

/// Whether the controller leads to the installation that the template was mapped on. On another, its number belongs to
/// something that was never chosen, whatever the template says about drift.
pub fn check_installation(template: &Template, here: &Installation) -> Result<(), Halt> {
    let Some(pinned) = pinned_installation(&template.fingerprint_parts) else { return Ok(()) };
    match here.uuid() {
        Some(uuid) if uuid == pinned => Ok(()),
        Some(_) => Err(error(
            reason::TEMPLATE_CHANGED,
            format!(
                "The template was mapped on installation {pinned}, and its controller is now {here}. Check what the template \
                 is there, then change it with `accept_drift`."
            ),
        )),
        None => Err(Stop::Later(format!(
            "the template was mapped on installation {pinned}, and {here} does not say which one it is"
        ))
        .into()),
    }
}

/// Tells of drift, and refuses it where the template says so.
pub async fn check_drift(templates: &dyn Templates, template: &Template, drift: &[String]) -> Result<(), Halt> {
    if drift != template.drift {
        templates.report_drift(template, drift).await?;
    }
    if drift.is_empty() || !template.refuse_drift {
        return Ok(());
    }
    // Old news ends no job: an operator may have accepted the drift, or said that it does not matter, meanwhile.
    let now = templates.template_now(&template.tenant, &template.name).await?;
    if now.is_some_and(|now| !now.refuse_drift || now.fingerprint != template.fingerprint) {
        return Err(Stop::Later("its template has just been changed; preparing the launch again".into()).into());
    }
    Err(error(
        reason::TEMPLATE_DRIFTED,
        format!("The controller's template is no longer what was mapped: {}.", drift.join("; ")),
    ))
}

/// The organization that labels for a template's runs are of, if it takes any.
pub fn organization_for_labels(view: &TemplateView) -> Result<i64, Halt> {
    let refused = |why: &str| {
        error(reason::TEMPLATE_UNSUITABLE, format!("Its run cannot be told of the request by labels: {why}."))
    };
    if !view.takes_labels() {
        return Err(refused(
            "the controller's template does not prompt for labels on launch; switch on `ask_labels_on_launch` there",
        ));
    }
    view.organization_id().ok_or_else(|| refused("the controller's template has no organization"))
}

/// What it means that a label can be neither found nor made.
pub fn unlabelled(failure: &AwxError) -> Halt {
    if !failure.is_refusal() {
        return Stop::Later(format!("Making the labels that tell the run of its request: {failure}.")).into();
    }
    error(
        reason::TEMPLATE_UNSUITABLE,
        format!(
            "Its run cannot be told of the request by labels: {failure}. Make Runwarden's account a \
             member of the organization of the controller's template."
        ),
    )
}

/// Builds the request and checks that the template would take all of it.
pub async fn build(
    seals: &dyn Seals,
    template: &Template,
    view: &TemplateView,
    job: &Job,
    told: Told,
) -> Result<Prepared, Halt> {
    if let Some(name) = told.may_be_template() {
        return Err(error(
            reason::TEMPLATE_UNSUITABLE,
            format!("Its run cannot be told of the request: `{name}` could be read as a Jinja template."),
        ));
    }
    let number = job.attempts + 1;
    let parameters = open_parameters(seals, job).await?;
    let placement = MarkerPlacement::choose(view);
    let attempt_id = format!("{}-{number}", job.id.trim_start_matches("job_"));
    let marker = Marker::new(&attempt_id)
        .ok_or_else(|| Halt::Broken(runwarden_kit::Error::internal(anyhow::anyhow!("{attempt_id} marks nothing"))))?;
    let mut body = LaunchBody::build(LaunchInput {
        schema: &template.schema,
        parameters: &parameters,
        fixed: &template.fixed,
        marker: (placement != MarkerPlacement::None).then_some((&marker, placement)),
        default_skip_tags: &view.default_skip_tags(),
    })
    .map_err(|problems| unsuitable(&problems))?;
    body.tell(&told.variables);
    preflight(view, &body).map_err(|problems| unsuitable(&problems))?;
    Ok(Prepared { body, marker: marker.as_str().to_owned(), placement, told })
}

/// Refuses a launch with fields that the controller would not accept from our account.
pub fn check_objects(view: &TemplateView, settings: &[Setting<'_>], objects: &Objects) -> Result<(), Halt> {
    let problems = view.misfits(settings, objects);
    if problems.is_empty() { Ok(()) } else { Err(unsuitable(&problems)) }
}

fn unsuitable(problems: &[Problem]) -> Halt {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    error(
        reason::TEMPLATE_UNSUITABLE,
        format!("The controller's template would not accept what was requested: {}.", told.join("; ")),
    )
}

/// The parameters as they were sent, write-only ones opened.
pub async fn open_parameters(seals: &dyn Seals, job: &Job) -> Result<Map<String, Value>> {
    let mut parameters = job.parameters.clone();
    if let Some(sealed) = &job.sealed_parameters {
        let sealed = STANDARD.decode(sealed).map_err(runwarden_kit::Error::internal)?;
        let opened = seals.open(&job.tenant, &job.id, &sealed, &format!("launch {}", job.id)).await?;
        // What was shown as `{"set":true}` becomes its value again.
        parameters.extend(opened_object(&opened)?);
    }
    Ok(parameters)
}
