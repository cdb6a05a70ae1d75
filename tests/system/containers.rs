//! What operators install for systemd, Docker and Kubernetes: the files that no test here can run are held to what they promise.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Place, run, sessile};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap()
}

/// What `sessile check-config` makes of a file in that environment; the join token is one of the test's.
#[track_caller]
fn checked(place: &Place, file: &str, environment: &BTreeMap<String, String>) -> String {
    let (code, shown, said) = check(place, file, environment);
    assert_eq!(code, Some(0), "{said}");
    assert!(!shown.contains("# warning"), "{shown}");
    shown
}

fn check(place: &Place, file: &str, environment: &BTreeMap<String, String>) -> (Option<i32>, String, String) {
    let token = place.join_token().to_str().unwrap().to_owned();
    let own = |text: &str| {
        ["/etc/sessile/secret/join.token", "/run/secrets/join.token"]
            .iter()
            .fold(text.to_owned(), |text, path| text.replace(path, &token))
    };
    let config = place.path().join("config.yaml");
    fs::write(&config, own(file)).unwrap();
    let mut command = sessile();
    command.arg("check-config").arg(config);
    run(command.envs(environment.iter().map(|(name, value)| (name, own(value)))))
}

#[test]
fn the_unit_for_systemd_is_hardened_as_systemd_itself_judges() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/sessile.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold=20"]).arg(unit);
    // Where there is no systemd, there is no unit either.
    let Ok(judged) = analyze.output() else { return };
    let told = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "an exposure above 2.0: {}", told.lines().last().unwrap_or_default());
}

/// The parts of `sessile.yaml`, by their kinds and names.
fn kubernetes() -> BTreeMap<String, Value> {
    let file = read("deploy/kubernetes/sessile.yaml");
    let parts = file.split("\n---\n").map(yaml);
    let name =
        |part: &Value| format!("{} {}", part["kind"].as_str().unwrap(), part["metadata"]["name"].as_str().unwrap());
    parts.map(|part| (name(&part), part)).collect()
}

#[test]
fn on_kubernetes_a_first_start_cannot_deadlock() {
    let parts = kubernetes();
    let set = &parts["StatefulSet sessile"]["spec"];
    let peers = &parts["Service sessile-peers"]["spec"];
    assert_eq!((&set["podManagementPolicy"], &set["serviceName"]), (&json!("Parallel"), &json!("sessile-peers")));
    assert_eq!((&peers["publishNotReadyAddresses"], &peers["clusterIP"]), (&json!(true), &json!("None")));
    let container = &set["template"]["spec"]["containers"][0];
    let path = |probe: &str| container[probe]["httpGet"]["path"].as_str().unwrap().to_owned();
    // What restarts a pod asks for no cluster; what sends it requests does.
    assert_eq!([path("startupProbe"), path("livenessProbe")], ["/livez", "/livez"]);
    assert_eq!(path("readinessProbe"), "/readyz");
    let probe = |probe: &str, field: &str| container[probe][field].as_u64().unwrap();
    assert!(probe("startupProbe", "periodSeconds") * probe("startupProbe", "failureThreshold") >= 900);
    assert!(probe("readinessProbe", "timeoutSeconds") * 1000 > 1500, "it ends before http.ready_patience_ms");
    let ports: Vec<_> =
        container["ports"].as_array().unwrap().iter().map(|port| port["containerPort"].clone()).collect();
    assert_eq!(ports, [json!(8081), json!(7081)]);
}

#[test]
fn on_kubernetes_a_pod_has_no_right_that_it_does_not_need() {
    let parts = kubernetes();
    let pod = &parts["StatefulSet sessile"]["spec"]["template"]["spec"];
    let (of_pod, of_container) = (&pod["securityContext"], &pod["containers"][0]["securityContext"]);
    assert_eq!((&of_pod["runAsNonRoot"], &of_pod["seccompProfile"]["type"]), (&json!(true), &json!("RuntimeDefault")));
    assert_eq!((&of_pod["runAsUser"], &of_pod["fsGroup"]), (&json!(10001), &json!(10001)));
    assert_eq!(
        of_container,
        &json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    assert_eq!((&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]), (&json!(false), &json!(false)));
    let writable: Vec<_> = pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().collect();
    let writable: Vec<_> =
        writable.iter().filter(|mount| mount["readOnly"] != true).map(|mount| &mount["name"]).collect();
    assert_eq!(writable, [&json!("data")]);
}

#[test]
fn on_kubernetes_one_member_is_lost_at_a_time_and_stops_cleanly() {
    let parts = kubernetes();
    assert_eq!(parts["PodDisruptionBudget sessile"]["spec"]["maxUnavailable"], 1);
    let set = &parts["StatefulSet sessile"]["spec"];
    let labels = &set["selector"]["matchLabels"];
    for selector in [
        &parts["PodDisruptionBudget sessile"]["spec"]["selector"]["matchLabels"],
        &parts["Service sessile"]["spec"]["selector"],
        &parts["Service sessile-peers"]["spec"]["selector"],
        &set["template"]["metadata"]["labels"],
    ] {
        assert_eq!(selector, labels);
    }
    let spread = set["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let strict: Vec<_> = spread.iter().filter(|spread| spread["whenUnsatisfiable"] == "DoNotSchedule").collect();
    assert_eq!(strict[0]["topologyKey"], "kubernetes.io/hostname");
    let claim = &set["volumeClaimTemplates"][0];
    let mounts = set["template"]["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(
        mounts
            .iter()
            .any(|mount| mount["name"] == claim["metadata"]["name"] && mount["mountPath"] == "/var/lib/sessile")
    );
    let config = yaml(parts["ConfigMap sessile"]["data"]["config.yaml"].as_str().unwrap());
    let grace = 10_000 + config["shutdown"]["notice_ms"].as_u64().unwrap();
    assert!(set["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() * 1000 > grace);
}

#[test]
fn on_kubernetes_each_pod_is_a_member_under_its_own_name_and_a_fourth_is_told_what_to_leave_out() {
    let parts = kubernetes();
    let file = parts["ConfigMap sessile"]["data"]["config.yaml"].as_str().unwrap();
    let variables =
        parts["StatefulSet sessile"]["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let environment = |pod: &str| -> BTreeMap<_, _> {
        let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => pod.to_owned(),
            _ => variable["value"].as_str().unwrap().replace("$(SESSILE_CLUSTER_NAME)", pod),
        };
        variables.iter().map(|variable| (variable["name"].as_str().unwrap().to_owned(), value(variable))).collect()
    };
    let place = Place::new("fjall");
    for pod in ["sessile-0", "sessile-1", "sessile-2"] {
        let shown = checked(&place, file, &environment(pod));
        assert!(
            shown.contains(&format!("\n  advertise: \"{pod}.sessile-peers:7081\"  # SESSILE_CLUSTER_ADVERTISE in")),
            "{shown}"
        );
        assert!(shown.contains(&format!("# runs as member {pod} of a cluster of 3")), "{shown}");
        let data_dir = &environment(pod)["SESSILE_DATA_DIR"];
        assert!(shown.contains(&format!("\n  data_dir: \"{data_dir}\"  # line")), "commands ask elsewhere: {shown}");
    }
    let (code, _, said) = check(&place, file, &environment("sessile-3"));
    assert!(code == Some(64) && said.contains("leave out `cluster.expect` on a node that joins later"), "{said}");
    let later = checked(&place, &file.replace("expect: 3", ""), &environment("sessile-3"));
    assert!(later.contains("# runs as sessile-3, which joins the cluster of its seeds"), "{later}");
}

#[test]
fn an_image_has_nothing_but_the_program_and_its_check_is_a_command_of_it() {
    let file = read("deploy/docker/Dockerfile");
    let last = file.split("\nFROM ").last().unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    let after = |instruction: &str| {
        let line = last.lines().find(|line| line.starts_with(&format!("{instruction} ")));
        line.unwrap_or_else(|| panic!("no {instruction}")).to_owned()
    };
    let user = after("USER");
    assert!(
        user["USER ".len()..].split(':').all(|number| number.parse::<u32>().is_ok_and(|number| number > 0)),
        "{user}"
    );
    let words = |line: &str| -> Vec<String> { serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap() };
    let health = words(&after("HEALTHCHECK"));
    assert_eq!(words(&after("ENTRYPOINT")), [health[0].as_str()]);
    let (_, help, _) = run(sessile().args(&health[1..2]).arg("--help"));
    assert!(help.contains(&format!("Usage: sessile {}", health[1])) && help.contains(&health[2]), "{help}");
    assert_eq!(words(&after("CMD"))[..2], ["serve", "--config"]);
    let shown = checked(&Place::new("fjall"), &read("deploy/docker/config.yaml"), &BTreeMap::new());
    assert!(shown.contains("# runs as a single node"), "{shown}");
}

#[test]
fn in_compose_three_services_are_members_of_one_cluster() {
    let compose = yaml(&read("deploy/docker/compose.yaml"));
    let file = read("deploy/docker/config.yaml");
    let place = Place::new("fjall");
    for (name, service) in compose["services"].as_object().unwrap() {
        // `<<` takes the keys of another block, which goes before nothing.
        let merged =
            |block: &Value, key: &str| block.get(key).or_else(|| block["<<"].get(key)).cloned().unwrap_or_default();
        let own = &service["environment"];
        let both =
            own["<<"].as_object().unwrap().iter().chain(own.as_object().unwrap()).filter(|(key, _)| *key != "<<");
        let environment: BTreeMap<_, _> =
            both.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
        let shown = checked(&place, &file, &environment);
        assert!(shown.contains(&format!("# runs as member {name} of a cluster of 3")), "{shown}");
        assert!(shown.contains(&format!("\n  advertise: \"{name}:7081\"")), "{shown}");
        assert_eq!(
            (merged(service, "read_only"), merged(service, "cap_drop")),
            (json!(true), json!(["ALL"])),
            "{name}"
        );
        assert_eq!(service["volumes"], json!([format!("{name}:/var/lib/sessile")]));
        assert!(compose["volumes"].as_object().unwrap().contains_key(name));
        assert_eq!(merged(service, "secrets"), json!(["join.token"]));
    }
    assert_eq!(compose["services"].as_object().unwrap().len(), 3);
}
