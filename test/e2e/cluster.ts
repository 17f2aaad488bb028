import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import type { Serving } from '../../src/server/serve.ts'
import { findOrBuildBinaries } from '../testbed/binaries.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../testbed/control-plane.ts'
import { apply, startWebhook, type WebhookOptions } from '../testbed/webhook.ts'

export type Cluster = ControlPlane & {
  webhook: Serving
  /** The log lines of the webhook so far. */
  log: readonly Record<string, unknown>[]
}

/**
 * Ends the process by `process.exit` once nothing is left to do. Where connections were reset, Node now and then spins for ever when it
 * ends by itself and cleans up (nodejs/node issue 47748). tap writes its last lines when nothing is left for the first time.
 */
const exitWhenIdle = (): void => {
  process.once('beforeExit', () => setImmediate(() => process.once('beforeExit', () => process.exit())))
}

/** Runs something against a real API server; skips the test where there are no binaries: the runner says so before it comes to that. */
const onControlPlane = async (
  story: string,
  run: (controlPlane: ControlPlane) => Promise<void>,
  options?: ControlPlaneOptions,
): Promise<void> => {
  const binaries = await findOrBuildBinaries((line) => t.comment(line))
  if ('missing' in binaries) {
    await t.test(story, { skip: binaries.missing }, async () => {})
    return
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  exitWhenIdle()
  const controlPlane = await startControlPlane(binaries, options)
  try {
    await run(controlPlane)
  } finally {
    await controlPlane.stop()
  }
}

/** Runs a test against a real API server that has none of ours. */
export const testOnControlPlane = (
  story: string,
  run: (t: Test, controlPlane: ControlPlane) => Promise<void>,
  options?: ControlPlaneOptions,
): Promise<void> =>
  onControlPlane(
    story,
    async (controlPlane) => {
      await t.test(story, (t) => run(t, controlPlane))
    },
    options,
  )

/** Runs a test against a real API server with the webhook registered, which `prepare` may have started in another way than usual. */
export const testOnCluster = (
  story: string,
  run: (t: Test, cluster: Cluster) => Promise<void>,
  prepare: (controlPlane: ControlPlane) => Promise<WebhookOptions> = async () => ({}),
): Promise<void> =>
  onControlPlane(story, async (controlPlane) => {
    const log: Record<string, unknown>[] = []
    const webhook = await startWebhook(controlPlane, {
      log: { write: (line) => log.push(JSON.parse(line)) },
      metricsListen: { host: '127.0.0.1', port: 0 },
      ...(await prepare(controlPlane)),
    })
    try {
      await t.test(story, (t) => run(t, { ...controlPlane, webhook, log }))
    } finally {
      await webhook.close()
    }
  })

/** Makes a namespace that belongs to the mesh, or one with the labels given. */
export const makeNamespace = (
  cluster: Pick<ControlPlane, 'kubectl'>,
  name: string,
  labels: Record<string, string> = { 'istio-injection': 'enabled' },
): Promise<void> => apply(cluster, JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }))

/** A v1 Service as a manifest. */
export const serviceManifest = (
  namespace: string,
  name: string,
  spec: object,
  metadata: object = {},
): { metadata: object; spec: object } & Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace, name, ...metadata },
  spec,
})

/** The ports of a Service that no rule minds. */
export const goodPorts = [{ name: 'http-api', port: 3111 }]

/** Runs kubectl with a manifest on its standard input. */
export const submit = (cluster: Pick<ControlPlane, 'kubectl'>, args: string[], manifest: object) =>
  cluster.kubectl([...args, '-f', '-'], { input: JSON.stringify(manifest) })

/** Asserts that kubectl admits a manifest. */
export const admits = async (t: Test, cluster: Cluster, manifest: object, message: string): Promise<void> => {
  const { code, stderr } = await submit(cluster, ['apply'], manifest)
  t.equal(code, 0, message, { stderr })
}

/** The JSON of an object; undefined where there is none. */
export const getObject = async (cluster: Cluster, args: string[]): Promise<Record<string, unknown> | undefined> => {
  const { code, stdout, stderr } = await cluster.kubectl(['get', ...args, '-o', 'json'])
  if (code === 0) return JSON.parse(stdout)
  if (stderr.includes('NotFound')) return undefined
  throw new Error(stderr)
}

/** spec.externalIPs of a Service. */
export const addressesOf = async (cluster: Cluster, namespace: string, name: string): Promise<string[]> => {
  const service = await getObject(cluster, ['service', '-n', namespace, name])
  return (service?.spec as { externalIPs?: string[] } | undefined)?.externalIPs ?? []
}

/** Waits until something holds, for half a minute at most. Whether it does. */
export const until = async (holds: () => Promise<boolean>): Promise<boolean> => {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100)) if (await holds()) return true
  return false
}

/** Which of our webhooks the API server asks. */
const asked = async (cluster: Cluster): Promise<{ mutating: boolean; validating: boolean }> => {
  const labels = { 'meshvip.dev/virtual-host': 'true' }
  const dryRun = (port: object) =>
    submit(
      cluster,
      ['create', '--dry-run=server', '-o', 'json'],
      serviceManifest('default', 'probe', { ports: [port] }, { labels }),
    )
  return {
    mutating: (await dryRun({ name: 'http', port: 8080 })).stdout.includes('externalIPs'),
    validating: (await dryRun({ name: 'http', port: 80 })).stderr.includes('service-port-80'),
  }
}

/**
 * Takes our webhooks away, or the mutating ones alone, while something is done, and puts them back. The API server takes about a
 * second to heed either.
 */
export const withoutWebhooks = async (
  cluster: Cluster,
  which: 'all' | 'mutating',
  run: () => Promise<void>,
): Promise<void> => {
  const kinds = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'].slice(0, which === 'all' ? 2 : 1)
  const list = await getObject(cluster, [kinds.join(), '--field-selector=metadata.name=meshvip'])
  const { items } = list as { items: object[] }
  const untilAsked = async (mutating: boolean, validating: boolean) => {
    if (await until(async () => isDeepStrictEqual(await asked(cluster), { mutating, validating }))) return
    throw new Error('the API server does not heed the change of its webhooks')
  }
  await cluster.kubectl(['delete', kinds.join(), 'meshvip'])
  await untilAsked(false, which === 'mutating')
  try {
    await run()
  } finally {
    const bare = items.map((item) => ({ ...item, metadata: { name: 'meshvip' } }))
    await submit(cluster, ['create'], { apiVersion: 'v1', kind: 'List', items: bare })
    await untilAsked(true, true)
  }
}

/** The claims of ours, as `address namespace/name`, sorted. */
export const claims = async (cluster: Cluster): Promise<string[]> => {
  const list = await getObject(cluster, ['ipaddresses', '-l', 'ipaddress.kubernetes.io/managed-by=meshvip.dev'])
  const items = list?.items as {
    metadata: { name: string }
    spec: { parentRef: { namespace: string; name: string } }
  }[]
  return items.map(({ metadata, spec }) => `${metadata.name} ${spec.parentRef.namespace}/${spec.parentRef.name}`).sort()
}

/** The addresses that are claimed for a Service. */
export const claimsOf = async (cluster: Cluster, namespace: string, name: string): Promise<string[]> =>
  (await claims(cluster)).flatMap((claim) => {
    const [address = '', service] = claim.split(' ')
    return service === `${namespace}/${name}` ? [address] : []
  })
