use crate::tokens::Right;

/// What whoever may only look may ask. Everything else, and what is new, is for those who may change the cluster.
const LOOKS: &[&str] = &[
    "/sessile.v1.Admin/Status",
    "/sessile.v1.Admin/WatchMembership",
    "/sessile.v1.Admin/History",
    "/sessile.v1.Admin/ListNamespaces",
    "/sessile.v1.Admin/ListGroups",
    "/sessile.v1.Admin/ListKeys",
    "/sessile.v1.Admin/ListTokens",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// The right that a call needs, by its path.
pub(super) fn needed(path: &str) -> Right {
    if LOOKS.contains(&path) { Right::Read } else { Right::Admin }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;

    use super::*;
    use crate::wire::DESCRIPTORS;

    // As much of google/protobuf/descriptor.proto as names the calls.
    #[derive(Clone, PartialEq, Message)]
    struct Files {
        #[prost(message, repeated, tag = "1")]
        files: Vec<File>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "6")]
        services: Vec<Service>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Service {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        methods: Vec<Method>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Method {
        #[prost(string, tag = "1")]
        name: String,
    }

    fn calls_of(descriptors: &[u8], wanted: &str) -> BTreeMap<String, Right> {
        let mut calls = BTreeMap::new();
        for file in Files::decode(descriptors).unwrap().files {
            for service in file.services.iter().filter(|service| service.name == wanted) {
                for method in &service.methods {
                    let path = format!("/{}.{}/{}", file.package, service.name, method.name);
                    calls.insert(method.name.clone(), needed(&path));
                }
            }
        }
        calls
    }

    /// A call that is new has to be added here, and so somebody decides who may make it.
    #[test]
    fn every_call_of_operators_needs_the_right_that_stands_here() {
        let expected = [
            ("AddLearner", Right::Admin),
            ("AddToken", Right::Admin),
            ("Backup", Right::Admin),
            ("CreateNamespace", Right::Admin),
            ("DropNamespace", Right::Admin),
            ("History", Right::Read),
            ("Init", Right::Admin),
            ("ListGroups", Right::Read),
            ("ListKeys", Right::Read),
            ("ListNamespaces", Right::Read),
            ("ListTokens", Right::Read),
            ("MoveAddresses", Right::Admin),
            ("Promote", Right::Admin),
            ("Remove", Right::Admin),
            ("RemoveToken", Right::Admin),
            ("Replace", Right::Admin),
            ("RevealKeys", Right::Admin),
            ("RotateKey", Right::Admin),
            ("SetAddress", Right::Admin),
            ("SetNamespace", Right::Admin),
            ("SetTime", Right::Admin),
            ("Status", Right::Read),
            ("TransferLeader", Right::Admin),
            ("TriggerSnapshot", Right::Admin),
            ("TruncateNamespace", Right::Admin),
            ("WatchMembership", Right::Read),
        ];
        let expected: BTreeMap<_, _> = expected.map(|(call, right)| (call.to_owned(), right)).into();
        assert_eq!(calls_of(DESCRIPTORS, "Admin"), expected);
        let health = calls_of(tonic_health::pb::FILE_DESCRIPTOR_SET, "Health");
        assert!(health.len() >= 2 && health["Check"] == Right::Read && health["Watch"] == Right::Read, "{health:?}");
    }

    #[test]
    fn what_is_not_known_needs_every_right() {
        for path in ["", "/", "/sessile.v1.Admin/status", "/sessile.v1.Admin/Truncate", "/sessile.v1.Peer/Status"] {
            assert_eq!(needed(path), Right::Admin, "{path}");
        }
    }
}
