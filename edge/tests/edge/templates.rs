use runwarden_proto::project::v1 as proto;

use crate::support::{Edge, get};

#[tokio::test]
async fn what_should_be_corrected_in_a_template_is_shown_where_it_is_read() {
    let edge = Edge::new();
    let problem = proto::TemplateProblem {
        pointer: "/parameters/properties/size/maximun".into(),
        detail: "is not a keyword of JSON Schema 2020-12: did you mean `maximum`?".into(),
    };
    let template = proto::Template {
        name: "deploy".into(),
        kind: proto::TemplateKind::Job.into(),
        problems: vec![problem],
        ..proto::Template::default()
    };
    edge.project.answer("GetTemplate", &proto::GetTemplateResponse { template: Some(template.clone()) });
    let list = proto::ListTemplatesResponse { templates: vec![template], next_page_token: String::new() };
    edge.project.answer("ListTemplates", &list);
    let one = edge.call(get("/api/v1/templates/deploy"), "").await.json();
    let all = edge.call(get("/api/v1/templates"), "").await.json();
    for shown in [&one, &all["items"][0]] {
        assert_eq!(shown["problems"][0]["pointer"], "/parameters/properties/size/maximun", "{shown}");
        assert!(shown["problems"][0]["detail"].as_str().unwrap().contains("maximum"), "{shown}");
    }
}
