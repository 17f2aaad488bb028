/** What is said of the mistakes that the rules find where the rules are not there, and what comes of them. */
import { rules } from '../../src/rules/index.ts'
import type { Outcome as RuleOutcome } from '../../src/rules/judge.ts'
import { type RuleFixture, readRuleFixtures } from '../fixtures/rules.ts'
import { type Binaries, findOrBuildBinaries, type Missing } from '../testbed/binaries.ts'
import type { Log } from '../testbed/cache.ts'
import { type ControlPlane, startControlPlane } from '../testbed/control-plane.ts'
import { installIstioCrds } from '../testbed/istio-crds.ts'
import { apply } from '../testbed/webhook.ts'
import { type AnalysisMessage, analyze, findOrBuildIstioctl } from './istioctl.ts'
import { findOrBuildOracle, type Oracle, type OracleAnswer, startOracle } from './oracle.ts'

export type Mistake = {
  rule: (typeof rules)[number]
  /** The rule's own finding in its bad manifest, and what comes of it by default. */
  finding: RuleOutcome
  action: RuleFixture['action']
  /** What the API server says of the manifest that it does not say of the good one, and what istiod's webhook says. */
  applied: string[]
  /** What istioctl says that it does not say without the manifest. */
  analysis: AnalysisMessage[]
  /** The request that the manifest is about: `orders.shop:3111`. */
  request: string
  met: Met
}

/** What a request from a sidecar of its namespace meets. */
export type Met = {
  /** The VirtualServices (`namespace/name`) whose routes stand at the host and port, and whether the manifest's is one. */
  routesOf: string[]
  routed: boolean
} & (
  | { kind: 'no address' | 'no listener' }
  /** `cluster` as Envoy names it. */
  | { kind: 'no cluster' | 'no endpoints' | 'answered'; cluster: string }
)

export type Tools = { binaries: Binaries; istioctl: string; oracle: string }

export const findOrBuildTools = async (log: Log): Promise<Tools | Missing> => {
  const binaries = await findOrBuildBinaries(log)
  if ('missing' in binaries) return binaries
  const oracle = await findOrBuildOracle(log)
  if (typeof oracle !== 'string') return oracle
  const istioctl = await findOrBuildIstioctl(log)
  if (typeof istioctl !== 'string') return istioctl
  return { binaries, istioctl, oracle }
}

const namespace = 'shop'

/** The Service that the request goes to, where that is not `orders`. */
const requested: Readonly<Record<string, string>> = {
  'virtualservice-host-headless': 'archive',
  'virtualservice-host-duplicate': 'stock',
}

/** It tells whether our own mutation took place; without us there is none to miss. */
const withoutMeaning = 'service-vip-missing'

/** What the fixtures leave out: istioctl would miss the gateway, which is another mistake than theirs. */
const surroundings = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system' } },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: { namespace: 'istio-system', name: 'public' },
    spec: {
      selector: { istio: 'ingressgateway' },
      servers: [{ port: { name: 'http', number: 80, protocol: 'HTTP' }, hosts: ['*'] }],
    },
  },
]

/** Routes for a Service, without which a virtual host answers nobody, be it good or bad. */
const routesFor = (name: string) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { namespace, name },
  spec: {
    hosts: [`${name}.${namespace}.svc.cluster.local`],
    http: [
      { route: [{ destination: { host: `orders-read.${namespace}.svc.cluster.local`, port: { number: 3100 } } }] },
    ],
  },
})

type Named = { kind: string; metadata: { namespace?: string; name: string } }
type Service = Named & { spec: { clusterIP: string; ports: { port: number }[]; selector?: object } }

const list = (...items: object[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items })

const read = async ({ kubectl }: ControlPlane, args: string[], input = ''): Promise<Named[]> => {
  const { code, stdout, stderr } = await kubectl([...args, '-o', 'json'], { input })
  if (code !== 0) throw new Error(stderr)
  const found = JSON.parse(stdout) as Named & { items?: Named[] }
  return found.items ?? [found]
}

const meet = (answer: OracleAnswer, service: Service, services: readonly Service[], owner: string): Met => {
  const [call] = answer.calls
  const [emitted] = answer.clients
  if (call === undefined || emitted === undefined) throw new Error(`the oracle answers no call in ${answer.id}`)
  const host = emitted.routes[call.routeConfig ?? '']?.find(({ name }) => name === call.virtualHost)
  const routesOf = [...new Set(host?.routes.flatMap(({ config }) => (config === '' ? [] : [config])))]
  const by = { routesOf, routed: routesOf.includes(owner) }
  const { cluster, missing } = call
  const isUnbacked = service.spec.selector === undefined
  // Istio emits routes for it, but no address leads callers to them.
  if (isUnbacked && service.spec.clusterIP === 'None') return { ...by, kind: 'no address' }
  if (isUnbacked && cluster === 'PassthroughCluster') return { ...by, kind: 'no listener' }
  if (cluster !== undefined && missing) return { ...by, kind: 'no cluster', cluster }
  const targetHost = cluster?.split('|')[3]
  const target = services.find(
    ({ metadata }) => targetHost === `${metadata.name}.${metadata.namespace}.svc.cluster.local`,
  )
  if (cluster === undefined || target === undefined) {
    throw new Error(`there are no words yet for what ${answer.id} meets: ${JSON.stringify(call)}`)
  }
  return { ...by, kind: target.spec.selector === undefined ? 'no endpoints' : 'answered', cluster }
}

/** What Istio says of an object, without the name of the object. */
const saidOf = (said: readonly string[], owner: string): string[] =>
  said.flatMap((line) => (line.startsWith(`${owner}: `) ? [line.slice(owner.length + 2)] : []))

const observe = async (
  { bad, good, action, badVerdict }: RuleFixture,
  rule: Mistake['rule'],
  controlPlane: ControlPlane,
  oracle: Oracle,
  analysed: () => Promise<AnalysisMessage[]>,
): Promise<Mistake> => {
  const { kubectl } = controlPlane
  const finding = badVerdict.outcomes.find((outcome) => outcome.rule === rule.id)
  const [subject] = await read(controlPlane, ['create', '--dry-run=client', '-f', bad.file])
  if (finding === undefined || subject === undefined) throw new Error(`${bad.file} has nothing that ${rule.id} finds`)
  const before = new Set((await analysed()).map((message) => JSON.stringify(message)))
  const saidOfGood = new Set((await kubectl(['create', '--dry-run=server', '-f', good.file])).stderr.split('\n'))
  const isService = subject.kind === 'Service'
  const name = isService ? subject.metadata.name : (requested[rule.id] ?? 'orders')
  const companions = isService ? [routesFor(name)] : []
  if (isService) await apply(controlPlane, list(...companions))

  const created = await kubectl(['create', '-f', bad.file])
  const analysis = (await analysed()).filter((message) => !before.has(JSON.stringify(message)))
  const objects = await read(controlPlane, [
    'get',
    '--all-namespaces',
    'namespaces,services,endpointslices,virtualservices,destinationrules',
  ])
  const services = objects.filter(({ kind }) => kind === 'Service') as Service[]
  const service = services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)
  const port = service?.spec.ports[0]?.port
  if (service === undefined || port === undefined) throw new Error(`${rule.id}: ${namespace}/${name} has no port`)
  const [answer] = await oracle.ask([
    {
      id: rule.id,
      objects,
      clients: [{ namespace }],
      calls: [
        {
          client: 0,
          address: service.spec.clusterIP,
          port,
          protocol: 'http',
          host: `${name}.${namespace}.svc.cluster.local:${port}`,
        },
      ],
    },
  ])
  if (answer === undefined) throw new Error(`the oracle does not answer ${rule.id}`)
  await kubectl(['delete', '--ignore-not-found', '-f', '-'], { input: list(subject, ...companions) })

  const object = `${subject.metadata.namespace}/${subject.metadata.name}`
  const said = created.stderr.split('\n').filter((line) => line !== '' && !saidOfGood.has(line))
  return {
    rule,
    finding,
    action,
    applied: [
      ...(created.code === 0 ? ['created'] : []),
      ...said,
      ...saidOf(answer.refused, `${subject.kind} ${object}`).map((reason) => `istiod refuses: ${reason}`),
      ...saidOf(answer.warned, `${subject.kind} ${object}`).map((reason) => `istiod warns: ${reason}`),
    ],
    analysis,
    request: `${name}.${namespace}:${port}`,
    met: meet(answer, service, services, isService ? `${namespace}/${name}` : object),
  }
}

/** Each mistake of the rules about what is broken and what is not the convention, made in a cluster of its own that has all of Istio's CRDs. */
export const makeMistakes = async ({ binaries, istioctl, oracle: program }: Tools): Promise<Mistake[]> => {
  const fixtures = await readRuleFixtures()
  const controlPlane = await startControlPlane(binaries)
  const oracle = startOracle(program)
  try {
    await installIstioCrds(binaries.istioCrds, controlPlane.kubectl, 'all')
    await apply(controlPlane, list(...surroundings))
    await apply(controlPlane, fixtures.cluster.text)
    const mistakes: Mistake[] = []
    for (const fixture of fixtures.rules) {
      const rule = rules.find(({ id }) => id === fixture.id)
      if (rule === undefined || rule.id === withoutMeaning) continue
      if (!rule.kinds.some((kind) => kind === 'broken' || kind === 'convention')) continue
      const analysed = () => analyze(istioctl, controlPlane.kubeconfig, controlPlane.dir)
      mistakes.push(await observe(fixture, rule, controlPlane, oracle, analysed))
    }
    return mistakes
  } finally {
    await oracle.close()
    await controlPlane.stop()
  }
}
