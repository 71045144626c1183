"""Gives a user rights on a Kafka cluster.

usage: kafka_acls.py BROKERS USER RIGHT..., where a right is {topic|group|transactional_id}:{literal|prefixed}:NAME:OPERATION,...
"""

import sys

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

brokers, user, *rights = sys.argv[1:]
acls = []
for right in rights:
    kind, pattern, name, operations = right.split(":")
    resource = ResourcePattern(ResourceType[kind.upper()], name, ACLResourcePatternType[pattern.upper()])
    acls += [
        ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, resource)
        for operation in operations.split(",")
    ]
result = KafkaAdminClient(bootstrap_servers=brokers.split(",")).create_acls(acls)
assert len(result["succeeded"]) == len(acls) and not result["failed"], result
