/** The values of the Helm chart: the one source of its values.yaml, its values.schema.json and its README.md. */
import { Document, Pair, Scalar, YAMLMap } from 'yaml'
import { configurationSchema } from '../src/config/schema.ts'
import { cell } from '../src/rules/describe.ts'

/** A value that is set as a whole, with the keywords of its JSON Schema. */
type Value = { description: string; type: string; default: unknown; [keyword: string]: unknown }
/** A map of values. */
type Group = { type: 'object'; additionalProperties: false; properties: Values }
type Values = { [name: string]: Value | Group }

const text = (description: string, preset = '', rest: object = {}): Value => ({
  description,
  type: 'string',
  default: preset,
  ...rest,
})

const flag = (description: string, preset: boolean): Value => ({ description, type: 'boolean', default: preset })

const list = (description: string, items: object = { type: 'object' }, preset: unknown[] = []): Value => ({
  description,
  type: 'array',
  items,
  default: preset,
})

/** A map that is set as a whole. */
const map = (description: string, values: object = {}, preset: object = {}): Value => ({
  description,
  type: 'object',
  additionalProperties: values,
  default: preset,
})

const labels = (description: string): Value => map(description, { type: 'string' })

const group = (properties: Values): Group => ({
  type: 'object',
  additionalProperties: false,
  properties,
})

const { $schema, title: _, ...configuration } = configurationSchema

const values: Values = {
  replicas: {
    description:
      'How many pods answer. Each answers by itself; one of them, elected, looks after addresses and the registration.',
    type: 'integer',
    minimum: 1,
    default: 2,
  },
  image: group({
    repository: text(
      'The image without its tag. It is made by the Dockerfile of this repository: push it to a registry of yours, and name that here.',
      'meshvip',
      { minLength: 1 },
    ),
    tag: text("The image's tag; the chart's appVersion where it is empty."),
    digest: text("The image's digest, which counts in place of the tag.", '', { pattern: '^(sha256:[0-9a-f]{64})?$' }),
    pullPolicy: text('When the kubelet pulls the image.', 'IfNotPresent', {
      enum: ['Always', 'IfNotPresent', 'Never'],
    }),
  }),
  imagePullSecrets: list('Secrets for the registry, each as `name: NAME`.'),
  config: {
    ...configuration,
    description:
      'The configuration of meshvip, as docs/configuration.md has it. It goes into a ConfigMap and is loaded anew while the pods run, but for clusterDomain.',
    default: {},
  },
  certificates: group({
    mode: text(
      'Who issues the serving certificate. self-managed: the elected replica, which also renews it. cert-manager: a Certificate of cert-manager. secret: you. The CA is published to the API server by the elected replica in all three.',
      'self-managed',
      { enum: ['self-managed', 'cert-manager', 'secret'] },
    ),
    secretName: text(
      'Only for mode secret: your Secret in the namespace of the release, with tls.crt, tls.key and ca.crt. The certificate is for meshvip.NAMESPACE.svc.',
    ),
    certManager: group({
      issuerRef: {
        ...map(
          'The issuer, as name, kind (Issuer unless given) and group. It must fill in ca.crt, as those of kinds CA and Vault do and those of kind ACME do not. Without one the chart makes a CA of its own.',
        ),
        additionalProperties: false,
        properties: { name: { type: 'string' }, kind: { type: 'string' }, group: { type: 'string' } },
      },
      duration: text('How long a certificate is valid; cert-manager renews it after two thirds.', '2160h', {
        pattern: '^[0-9]+h$',
      }),
    }),
  }),
  clientCA: group({
    configMapName: text(
      'A ConfigMap in the namespace of the release whose ca.crt is the CA of the certificate that the API server shows. Without one anybody may ask, since the API server shows none unless it is told to.',
    ),
    names: list(
      'The common names or DNS names of which the certificate of the API server must have one; all that the CA signed, where it is empty.',
      { type: 'string', minLength: 1 },
    ),
  }),
  admissionPolicies: group({
    limitServiceAccount: flag(
      'A ValidatingAdmissionPolicy that holds our ServiceAccount to what RBAC cannot say: IPAddresses with our label, Services as dry runs only, and no webhook for anything but Services and VirtualServices.',
      true,
    ),
    staticRules: flag(
      'A ValidatingAdmissionPolicy with the rules on ports of virtual hosts in namespaces of the mesh, which the API server holds by itself, also while no pod runs. A rule that config turns down anywhere is not in it. It sees neither exemptions nor endpoints: label a Service with endpoints made by hand meshvip.dev/virtual-host: "false".',
      false,
    ),
  }),
  lease: flag(
    'The Lease of the election is made by the chart, so that it goes with the release. Argo CD leaves Leases alone and warns of each: without it the first replica makes it, and it stays when the release goes.',
    true,
  ),
  networkPolicy: group({
    enabled: flag('A NetworkPolicy for the pods.', true),
    apiServer: list(
      'Who may ask for admission (port 8443), as peers of a NetworkPolicy; anybody where it is empty, since the addresses of API servers are mostly those of nodes or unknown.',
    ),
    metrics: list(
      'Who may read metrics (port 9090), as peers of a NetworkPolicy. The kubelet of the node always may.',
      { type: 'object' },
      [{ namespaceSelector: {} }],
    ),
    egress: list(
      'Where the pods may connect to, as egress rules of a NetworkPolicy: they need the API server, and DNS where it has a name. Anywhere where it is empty.',
    ),
  }),
  resources: map(
    'Requests and limits of a pod (docs/performance.md). The limit has room for all the reviews that are taken at a time. A limit on CPU would make reviews wait.',
    {},
    { requests: { cpu: '100m', memory: '192Mi' }, limits: { memory: '1Gi' } },
  ),
  priorityClassName: text(
    'The priority of the pods: without them virtual hosts cannot be changed. Where a ResourceQuota allows this class in kube-system alone, choose another.',
    'system-cluster-critical',
  ),
  nodeSelector: labels('The labels of the nodes that pods may run on.'),
  tolerations: list('The taints of nodes that pods put up with.'),
  affinity: map(
    'Affinities of the pods. They are spread over nodes and zones in any case, as far as there are several.',
  ),
  podLabels: labels('More labels for the pods.'),
  podAnnotations: labels('Annotations for the pods.'),
  labels: labels('More labels for all objects and for the pods.'),
  serviceMonitor: group({
    enabled: flag('A ServiceMonitor of prometheus-operator for the metrics of the pods.', false),
    interval: text('How often they are read.', '30s'),
    labels: labels('Labels by which your Prometheus selects it.'),
  }),
  prometheusRule: group({
    enabled: flag(
      'A PrometheusRule of prometheus-operator with alerts on our metrics and on those of the API server about us.',
      false,
    ),
    labels: labels('Labels by which your Prometheus selects it.'),
    freeAddresses: {
      description: 'How few free addresses of a pool are too few.',
      type: 'integer',
      minimum: 0,
      default: 100,
    },
  }),
}

/** What a parent chart gives to this one besides, which means nothing here. */
const fromParent = {
  global: { description: 'What a parent chart gives to all of its charts; not used.', type: 'object' },
  enabled: { description: 'For the condition of a parent chart; not used.', type: 'boolean' },
}

export const chartValuesSchema = {
  $schema,
  title: 'Values of the chart meshvip',
  type: 'object',
  additionalProperties: false,
  properties: { ...values, ...fromParent },
}

const isGroup = (value: Value | Group): value is Group => !('default' in value)

/** Each value by its path, such as `image.tag`. */
const leaves = (properties: Values, path: readonly string[] = []): [string, Value][] =>
  Object.entries(properties).flatMap(([name, value]): [string, Value][] =>
    isGroup(value) ? leaves(value.properties, [...path, name]) : [[[...path, name].join('.'), value]],
  )

/** Words in lines of so many characters. */
const wrapped = (words: string, width: number): string[] => {
  const lines = ['']
  for (const word of words.split(' ')) {
    const line = lines.at(-1) as string
    if (line !== '' && line.length + word.length + 1 > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

const yamlOf = (document: Document, properties: Values, depth = 0): YAMLMap => {
  const lines = new YAMLMap()
  for (const [name, value] of Object.entries(properties)) {
    const key = new Scalar(name)
    key.spaceBefore = depth === 0 && lines.items.length > 0
    if (isGroup(value)) {
      lines.add(new Pair(key, yamlOf(document, value.properties, depth + 1)))
    } else {
      const comment = wrapped(value.description, 116 - 2 * depth)
      key.commentBefore = comment.map((line) => ` ${line}`).join('\n')
      lines.add(new Pair(key, document.createNode(value.default)))
    }
  }
  return lines
}

/** values.yaml: every default, with its description above it. */
export const chartValues = (header: string): string => {
  const document = new Document()
  document.commentBefore = header
  document.contents = yamlOf(document, values)
  return document.toString({ lineWidth: 0 })
}

/** The table of the values for people. */
export const chartValuesTable = (): string =>
  [
    '| value | type | default | what it is |',
    '| --- | --- | --- | --- |',
    ...leaves(values).map(([path, { type, enum: choices, default: preset, description }]) => {
      const kind = choices === undefined ? type : (choices as string[]).map((choice) => `\`${choice}\``).join(', ')
      return `| \`${path}\` | ${cell(kind)} | ${cell(`\`${JSON.stringify(preset)}\``)} | ${cell(description)} |`
    }),
  ].join('\n')
