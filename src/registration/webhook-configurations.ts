import type {
  V1LabelSelector,
  V1MatchCondition,
  V1MutatingWebhookConfiguration,
  V1RuleWithOperations,
  V1ValidatingWebhookConfiguration,
} from '@kubernetes/client-node'
import { virtualHostLabel } from '../api/service.ts'
import { systemNamespaces } from '../rules/virtual-host.ts'
import { probeLabels } from './proof.ts'

/** Where the API server finds us: a URL up to the path, or a Service of the cluster. */
export type Endpoint = { url: string } | { service: { namespace: string; name: string; port: number } }

/** The name or address for which the API server wants our certificate to be; an IPv6 address without the brackets that it has in a URL. */
export const serverName = (endpoint: Endpoint): string =>
  'url' in endpoint
    ? new URL(endpoint.url).hostname.replace(/^\[(.*)\]$/, '$1')
    : `${endpoint.service.name}.${endpoint.service.namespace}.svc`

export type Registration = {
  endpoint: Endpoint
  /** PEM: the CA that signed our serving certificate. */
  caBundle: string
  clusterDomain: string
  /**
   * Our own namespace, which we never judge: we could not be repaired otherwise. There the way to us can be proved (proof.ts). Undefined
   * where we run outside the cluster.
   */
  ownNamespace?: string
  /** Whether nothing is refused, for now, where we cannot be reached. */
  failOpen?: boolean
}

/** The name of both configurations, in every cluster the same: there is one registration, and one line removes it. */
export const configurationName = 'meshvip'

type FailurePolicy = 'Fail' | 'Ignore'

/** Which namespaces a webhook is asked about, by how Istio sees them (istio/injection.ts); together the four are all, once each. */
export const namespaces = {
  injected: [{ key: 'istio-injection', operator: 'In', values: ['enabled'] }],
  revision: [
    { key: 'istio-injection', operator: 'NotIn', values: ['enabled', 'disabled'] },
    { key: 'istio.io/rev', operator: 'Exists' },
  ],
  disabled: [{ key: 'istio-injection', operator: 'In', values: ['disabled'] }],
  unlabelled: [
    { key: 'istio-injection', operator: 'NotIn', values: ['enabled', 'disabled'] },
    { key: 'istio.io/rev', operator: 'DoesNotExist' },
  ],
  all: [],
} as const

type Namespaces = keyof typeof namespaces

const services: V1RuleWithOperations = {
  apiGroups: [''],
  apiVersions: ['v1'],
  resources: ['services'],
  operations: ['CREATE', 'UPDATE'],
  scope: 'Namespaced',
}

const deletedServices: V1RuleWithOperations = { ...services, operations: ['DELETE'] }

const virtualServices: V1RuleWithOperations = {
  apiGroups: ['networking.istio.io'],
  apiVersions: ['v1'],
  resources: ['virtualservices'],
  operations: ['CREATE', 'UPDATE'],
  scope: 'Namespaced',
}

/** CEL: the Service is labelled as a virtual host, or as none. */
export const isLabelled = (value: 'true' | 'false', object: 'object' | 'oldObject' = 'object'): string =>
  `(has(${object}.metadata.labels) && '${virtualHostLabel}' in ${object}.metadata.labels && ${object}.metadata.labels['${virtualHostLabel}'] == '${value}')`

/** CEL: the Service asks for an address of its own, or says that it is a virtual host. That counts in every namespace. */
const isExplicit = `(${isLabelled('true')} || (has(object.spec.externalIPs) && object.spec.externalIPs.size() > 0))`

/** CEL: by its fields the Service may be a virtual host; rules/virtual-host.ts asks for the rest. */
export const mayBeVirtualHost = [
  `(!${isLabelled('false')}`,
  `&& (!has(object.spec.type) || object.spec.type == 'ClusterIP')`,
  `&& (!has(object.spec.clusterIP) || object.spec.clusterIP != 'None')`,
  `&& (!has(object.spec.selector) || object.spec.selector.size() == 0)`,
  `&& !(has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller))`,
  `&& !(request.namespace == 'default' && request.name == 'kubernetes'))`,
].join(' ')

/** CEL: a VirtualService that is on the mesh, or says so in a way that only looks so, or that has a host of the cluster. */
const concernsMesh = (clusterDomain: string): string =>
  [
    '!has(object.spec) || !has(object.spec.gateways) || object.spec.gateways.size() == 0',
    "|| object.spec.gateways.exists(g, g.lowerAscii() == 'mesh' || g.lowerAscii().endsWith('/mesh'))",
    '|| (has(object.spec.hosts) && object.spec.hosts.exists(h,',
    `!h.startsWith('*') && (!h.contains('.') || h.lowerAscii().endsWith('.svc.${clusterDomain}'))))`,
  ].join(' ')

/** CEL: the garbage collector or the controller of namespaces, which nobody's warning reaches, and which delete whole namespaces. */
const isController = [
  `(request.userInfo.username.startsWith('system:serviceaccount:kube-system:')`,
  `|| request.userInfo.username == 'system:kube-controller-manager')`,
].join(' ')

/** A deletion is finished by whatever finalizer it waits for, however wrong the object is, and is asked for once. */
export const notBeingDeleted = (object: 'object' | 'oldObject'): V1MatchCondition => ({
  name: 'not-being-deleted',
  expression: `!has(${object}.metadata.deletionTimestamp)`,
})

/** What is asked in one hop of the API server: to whom, about what, and what failing to reach us means. */
type Hop = {
  name: string
  namespaces: Namespaces
  rules: V1RuleWithOperations[]
  condition: V1MatchCondition
  failurePolicy: FailurePolicy
}

const validatingHops = (clusterDomain: string): Hop[] => {
  const onMesh = concernsMesh(clusterDomain)
  // No object meets two of these hops, so nothing is asked or said twice.
  const enforced: Pick<Hop, 'rules' | 'condition' | 'failurePolicy'> = {
    rules: [services, virtualServices],
    condition: {
      name: 'virtual-host-or-mesh-route',
      expression: `request.resource.resource == 'services' ? ${mayBeVirtualHost} && !${isExplicit} : (${onMesh})`,
    },
    failurePolicy: 'Fail',
  }
  const advised: typeof enforced = {
    rules: [services],
    condition: { name: 'ordinary-service', expression: `!${mayBeVirtualHost} && !${isExplicit}` },
    failurePolicy: 'Ignore',
  }
  // A deletion is never refused: it gets advice, where somebody is there to read it.
  const deleted = (condition: string): typeof enforced => ({
    rules: [deletedServices],
    condition: { name: 'read-by-somebody', expression: `!${isController} && ${condition}` },
    failurePolicy: 'Ignore',
  })
  const isDeletedByLabel = isLabelled('true', 'oldObject')
  const elsewhere: typeof enforced = {
    rules: [virtualServices],
    condition: { name: 'mesh-route', expression: onMesh },
    failurePolicy: 'Ignore',
  }
  return [
    { ...enforced, name: 'virtual-hosts', namespaces: 'injected' },
    { ...enforced, name: 'virtual-hosts-by-revision', namespaces: 'revision' },
    {
      name: 'addresses',
      namespaces: 'all',
      rules: [services],
      condition: { name: 'labelled-or-with-address', expression: isExplicit },
      failurePolicy: 'Fail',
    },
    { ...advised, name: 'services', namespaces: 'injected' },
    { ...advised, name: 'services-by-revision', namespaces: 'revision' },
    { ...elsewhere, name: 'virtual-services-elsewhere', namespaces: 'unlabelled' },
    { ...elsewhere, name: 'virtual-services-uninjected', namespaces: 'disabled' },
    { ...deleted(`!${isDeletedByLabel}`), name: 'deletions', namespaces: 'injected' },
    { ...deleted(`!${isDeletedByLabel}`), name: 'deletions-by-revision', namespaces: 'revision' },
    { ...deleted(isDeletedByLabel), name: 'deletions-by-label', namespaces: 'all' },
  ]
}

/** Mutation may fail open: validation, which may not, sees that the address is missing. */
const mutatingHops = (): Hop[] => {
  const address: Pick<Hop, 'rules' | 'condition' | 'failurePolicy'> = {
    rules: [services],
    condition: { name: 'virtual-host-without-address', expression: `${mayBeVirtualHost} && !${isExplicit}` },
    failurePolicy: 'Ignore',
  }
  // Conditions see what the hops before them wrote: the one for Services with an address comes first, or it would be made for each
  // address that the others write.
  return [
    {
      name: 'addresses',
      namespaces: 'all',
      rules: [services],
      condition: { name: 'labelled-or-with-address', expression: isExplicit },
      failurePolicy: 'Ignore',
    },
    { ...address, name: 'virtual-hosts', namespaces: 'injected' },
    { ...address, name: 'virtual-hosts-by-revision', namespaces: 'revision' },
  ]
}

/**
 * Asks us to refuse a Service of our own namespace that has a label of its own, by which it is proved that the API server reaches us. It
 * concerns nothing else and can fail closed: how it fails says why.
 */
const probe = (registration: Registration & { ownNamespace: string }) => ({
  name: 'probe.meshvip.dev',
  clientConfig: clientConfig('/probe', registration),
  rules: [{ ...services, operations: ['CREATE'] }],
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': registration.ownNamespace } },
  objectSelector: { matchLabels: probeLabels(registration) },
  matchPolicy: 'Equivalent',
  failurePolicy: 'Fail',
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  timeoutSeconds,
})

/** Seconds that the API server waits for us; a whole request has 60. */
const timeoutSeconds = 5

const clientConfig = (path: '/mutate' | '/validate' | '/probe', { endpoint, caBundle }: Registration) => ({
  ...('url' in endpoint ? { url: `${endpoint.url}${path}` } : { service: { ...endpoint.service, path } }),
  caBundle: Buffer.from(caBundle).toString('base64'),
})

/** Namespaces that are never asked about, by whatever their labels say. */
export const neverAsked = (ownNamespace: string | undefined) => ({
  key: 'kubernetes.io/metadata.name',
  operator: 'NotIn',
  values: [...systemNamespaces, ...(ownNamespace === undefined ? [] : [ownNamespace])],
})

const webhook = (path: '/mutate' | '/validate', hop: Hop, registration: Registration) => {
  const { ownNamespace, failOpen = false } = registration
  const namespaceSelector: V1LabelSelector = {
    matchExpressions: [
      neverAsked(ownNamespace),
      ...namespaces[hop.namespaces].map((expression) => ({
        ...expression,
        ...('values' in expression ? { values: [...expression.values] } : {}),
      })),
    ] as V1LabelSelector['matchExpressions'] & {},
  }
  const object = hop.rules.includes(deletedServices) ? 'oldObject' : 'object'
  return {
    name: `${hop.name}.meshvip.dev`,
    clientConfig: clientConfig(path, registration),
    rules: hop.rules,
    namespaceSelector,
    matchConditions: [notBeingDeleted(object), hop.condition],
    matchPolicy: 'Equivalent',
    failurePolicy: failOpen ? 'Ignore' : hop.failurePolicy,
    admissionReviewVersions: ['v1'],
    timeoutSeconds,
  }
}

/** How the API server is told to ask us: the one source that tests, playground and chart share. */
export const webhookConfigurations = (
  registration: Registration,
): { mutating: V1MutatingWebhookConfiguration; validating: V1ValidatingWebhookConfiguration } => ({
  mutating: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: configurationName },
    webhooks: mutatingHops().map((hop) => ({
      ...webhook('/mutate', hop, registration),
      sideEffects: 'NoneOnDryRun',
      reinvocationPolicy: 'IfNeeded',
    })),
  },
  validating: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: configurationName },
    webhooks: [
      ...validatingHops(registration.clusterDomain).map((hop) => ({
        ...webhook('/validate', hop, registration),
        sideEffects: 'None',
      })),
      ...(registration.ownNamespace === undefined
        ? []
        : [probe({ ...registration, ownNamespace: registration.ownNamespace })]),
    ],
  },
})
