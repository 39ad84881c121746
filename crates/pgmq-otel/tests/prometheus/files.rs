//! The files of `docker/observability`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of the files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/observability")
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/pgmq.json")).unwrap()
}

/// The strings of a list.
fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The volumes of a service: the file here, and the path in the container.
fn volumes(service: &Value) -> Vec<(&str, &str)> {
    let volumes = strings(&service["volumes"]).into_iter();
    volumes.map(|volume| volume.strip_suffix(":ro").unwrap().split_once(':').unwrap()).collect()
}

/// Asserts that the addresses and the paths in one file are those of the others.
pub(crate) fn fit_together() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        assert!(!volumes(service).is_empty(), "{name} has no configuration");
        for (file, _) in volumes(service) {
            assert!(folder().join(file).is_file(), "{name} mounts {file}, which is not there");
        }
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} opens {port} to other machines");
        }
    }
    let in_container = |service: &str, path: &str| {
        let found = volumes(&services[service]).iter().any(|(_, inside)| *inside == path);
        assert!(found, "{service} has no {path}");
    };

    let collector = yaml("collector.yaml");
    for (name, pipeline) in collector["service"]["pipelines"].as_object().unwrap() {
        for kind in ["receivers", "processors", "exporters"] {
            for component in strings(&pipeline[kind]) {
                assert!(collector[kind].get(component).is_some(), "{name} has no {component} of {kind}");
            }
        }
    }
    for protocol in collector["receivers"]["otlp"]["protocols"].as_object().unwrap().values() {
        let (_, port) = protocol["endpoint"].as_str().unwrap().split_once(':').unwrap();
        let opened = format!("127.0.0.1:{port}:{port}");
        assert!(strings(&services["collector"]["ports"]).contains(&&*opened), "{opened} is not open");
    }
    let offered = collector["exporters"]["prometheus"]["endpoint"].as_str().unwrap();
    let target = offered.replace("0.0.0.0", "collector");
    let prometheus = yaml("prometheus.yaml");
    assert_eq!(strings(&prometheus["scrape_configs"][0]["static_configs"][0]["targets"]), [target]);
    for rules in strings(&prometheus["rule_files"]) {
        in_container("prometheus", &format!("/etc/prometheus/{rules}"));
    }

    let source = &yaml("grafana/datasources.yaml")["datasources"][0];
    assert_eq!(source["url"].as_str().unwrap(), "http://prometheus:9090");
    let provider = &yaml("grafana/dashboards.yaml")["providers"][0];
    let path = provider["options"]["path"].as_str().unwrap();
    in_container("grafana", &format!("{path}/pgmq.json"));
    let home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str();
    in_container("grafana", home.unwrap());
}

/// Asserts that each image has a version.
pub(crate) fn pin_their_images() {
    for (name, service) in yaml("compose.yaml")["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        let version = image.split_once(':').map_or("", |(_, version)| version).trim_start_matches('v');
        let parts: Vec<_> = version.split('.').filter(|part| part.parse::<u32>().is_ok()).collect();
        assert_eq!(parts.len(), 3, "{name} has the image {image}, whose version is not of three numbers");
    }
}
