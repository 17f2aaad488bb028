import { rules } from '../rules/index.ts'

const action = { enum: ['deny', 'warn', 'audit', 'off'] }

/** One action for all, or one for virtual hosts and one for others. */
const ruleActions = {
  anyOf: [action, { type: 'object', additionalProperties: false, properties: { virtualHost: action, other: action } }],
}

const patterns = { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } }

const labelSelector = {
  description: 'A label selector, as Kubernetes has it.',
  type: 'object',
  additionalProperties: false,
  properties: {
    matchLabels: { type: 'object', required: [], additionalProperties: { type: 'string' } },
    matchExpressions: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['key', 'operator'],
        properties: {
          key: { type: 'string', minLength: 1 },
          operator: { enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
          values: { type: 'array', items: { type: 'string' } },
        },
      },
    },
  },
}

/** The JSON Schema of the configuration file. */
export const configurationSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Configuration of meshvip',
  type: 'object',
  additionalProperties: false,
  properties: {
    clusterDomain: {
      description: "The domain of the cluster's DNS, which istiod knows as --domain.",
      type: 'string',
      pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
      maxLength: 253,
      default: 'cluster.local',
    },
    foreignHosts: {
      description:
        'Hosts that this cluster cannot show: Services of other clusters of the mesh, or in namespaces that istiod does not discover. What is not found under them is unknown, and not missing. In full, in lower case; *. at the beginning stands for everything under it.',
      type: 'array',
      items: { type: 'string', pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' },
      default: [],
    },
    rootNamespace: {
      description: "Where DestinationRules for the whole mesh are; MeshConfig's rootNamespace.",
      type: 'string',
      pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
      maxLength: 63,
      default: 'istio-system',
    },
    virtualHosts: {
      description:
        'inferred: a selectorless ClusterIP Service in a namespace of the mesh is a virtual host unless its label says otherwise. labelled: only a Service with label meshvip.dev/virtual-host: "true" is one.',
      enum: ['inferred', 'labelled'],
      default: 'inferred',
    },
    pools: {
      description:
        'The ranges out of which virtual hosts are given their addresses, tried in this order. A virtual host of dual stack (ipFamilyPolicy) has one address of each family; any other has one.',
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['cidr'],
        properties: {
          cidr: { description: 'A range of IPv4 or IPv6 addresses in CIDR notation.', type: 'string' },
          exclude: {
            description:
              'Addresses, or ranges in CIDR notation, of this range that are not in the pool: nobody is given them, and nobody may pick them.',
            type: 'array',
            items: { type: 'string' },
          },
          namespaceSelector: {
            ...labelSelector,
            description: 'The namespaces that the pool is for, by their labels; all where it is left out.',
          },
        },
      },
      default: [{ cidr: '240.240.0.0/16' }],
    },
    allowedExternalIPs: {
      description: 'Ranges in CIDR notation, outside the pools, that Services may have as external IPs.',
      type: 'array',
      items: { type: 'string' },
      default: [],
    },
    reservedPorts: {
      description: 'The ports that the mesh uses itself, in place of the list that Istio documents.',
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['port', 'use'],
        properties: {
          port: { type: 'integer', minimum: 1, maximum: 65535 },
          use: { description: 'What for, as it stands in the message.', type: 'string', minLength: 1 },
          by: { description: 'istiod: a warning at most.', enum: ['sidecar', 'istiod'], default: 'sidecar' },
        },
      },
    },
    dryRun: {
      description:
        'What is done in a dry run for what would be denied: deny, or warn, since a batch is dry-run before any of it exists.',
      type: 'object',
      additionalProperties: false,
      properties: {
        missing: { description: 'For another object that is not there.', enum: ['warn', 'deny'] },
        mismatch: { description: 'For another object that contradicts.', enum: ['warn', 'deny'] },
        batchFieldManagers: {
          description: 'Field managers for which a mismatch is a warning, since they dry-run whole batches.',
          type: 'array',
          items: { type: 'string' },
        },
      },
      default: {
        missing: 'warn',
        mismatch: 'deny',
        batchFieldManagers: ['kustomize-controller', 'helm-controller', 'argocd-controller'],
      },
    },
    rules: {
      description: 'What is done for the findings of a rule, by its id.',
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(
        rules.map(({ id, finds, defaults }) => [id, { description: finds, ...ruleActions, default: defaults }]),
      ),
    },
    namespaces: {
      description:
        'Other actions for rules in the namespaces that a label selector matches; the first entry that names a rule counts.',
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['selector', 'rules'],
        properties: {
          selector: labelSelector,
          rules: {
            type: 'object',
            additionalProperties: false,
            properties: Object.fromEntries(rules.map(({ id }) => [id, ruleActions])),
          },
        },
      },
      default: [],
    },
    enforcement: {
      description: 'audit: everything is admitted, and what is found is only in log, metrics and audit annotations.',
      enum: ['enforce', 'audit'],
      default: 'enforce',
    },
    exemptions: {
      description: 'What is let pass, with a warning that gives the reason. In patterns * stands for any characters.',
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['rules', 'reason'],
        properties: {
          rules: { description: 'Patterns of rule ids.', ...patterns },
          namespaces: { description: 'Patterns of namespaces; all where it is left out.', ...patterns },
          names: { description: 'Patterns of object names; all where it is left out.', ...patterns },
          reason: { description: 'As it stands in the warning.', type: 'string', minLength: 1 },
          expires: {
            description: 'The day (YYYY-MM-DD, UTC) from which on it does not hold any more.',
            type: 'string',
            pattern: '^\\d{4}-\\d{2}-\\d{2}$',
          },
        },
      },
      default: [],
    },
    docsURL: {
      description: "Where the pages of the rules are: a finding's link is this, a slash, and the rule's id.",
      type: 'string',
      pattern: '^https?://[!-~]+$',
      default: 'https://meshvip.dev/rules',
    },
  },
} as const
