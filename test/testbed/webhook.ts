import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { configurationName, webhookConfigurations } from '../../src/registration/webhook-configurations.ts'
import { type ServeOptions, type Serving, serve } from '../../src/server/serve.ts'
import type { ControlPlane } from './control-plane.ts'
import { freePorts } from './processes.ts'
import { shells } from './shells.ts'

const LIMIT_MS = 30_000

const probe = (port: object): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'meshvip-probe', namespace: 'default', labels: { 'meshvip.dev/virtual-host': 'true' } },
    spec: { ports: [port] },
  })

/** Applies manifests, as this field manager or as kubectl's own; throws with what kubectl said where they are refused. */
export const apply = async (
  { kubectl }: Pick<ControlPlane, 'kubectl'>,
  input: string,
  manager?: string,
): Promise<void> => {
  const as = manager === undefined ? [] : [`--field-manager=${manager}`, '--force-conflicts']
  const { code, stderr } = await kubectl(['apply', '--server-side', ...as, '-f', '-'], { input })
  if (code !== 0) throw new Error(stderr)
}

/** The API server takes about a second to heed new configurations: asks by dry runs until it heeds both. */
export const untilActive = async ({ kubectl }: Pick<ControlPlane, 'kubectl'>): Promise<void> => {
  const dryRun = (port: object) =>
    kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input: probe(port) })
  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    const refused = await dryRun({ name: 'http', port: 80 })
    const given = await dryRun({ name: 'http', port: 8080 })
    if (refused.stderr.includes('service-port-80') && given.stdout.includes('externalIPs')) return
    if (Date.now() > deadline) {
      throw new Error(`the API server does not ask the webhook: ${refused.stderr}${given.stderr}`)
    }
    await sleep(100)
  }
}

export type WebhookOptions = Partial<
  Pick<ServeOptions, 'clients' | 'collect' | 'config' | 'kubeconfig' | 'log' | 'listen' | 'metricsListen'>
>

/** Tells the API server to ask the webhook at a URL, whose certificate this CA (PEM) signed. */
export const register = (controlPlane: Pick<ControlPlane, 'kubectl'>, url: string, caBundle: string): Promise<void> => {
  const registration = { endpoint: { url }, caBundle, clusterDomain: 'cluster.local' }
  const { mutating, validating } = webhookConfigurations(registration)
  return apply(
    controlPlane,
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [mutating, validating] }),
    configurationName,
  )
}

/** The namespace that meshvip is in. */
export const ownNamespace = 'meshvip'

/** Makes what an installation brings for the server to fill, and its namespace. */
export const applyShells = (controlPlane: Pick<ControlPlane, 'kubectl'>): Promise<void> => {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: ownNamespace } }
  return apply(controlPlane, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [namespace, ...shells] }))
}

/** The same kubeconfig, of somebody whose namespace is meshvip's. Resolves to its file. */
export const inOwnNamespace = async (kubeconfig: string): Promise<string> => {
  const config = JSON.parse(await readFile(kubeconfig, 'utf8'))
  config.contexts[0].context.namespace = ownNamespace
  const file = `${kubeconfig}-${ownNamespace}`
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

/** Serves the webhook for a control plane, where it registers itself by URL. */
export const serveFor = async (controlPlane: ControlPlane, options: WebhookOptions = {}): Promise<Serving> => {
  await applyShells(controlPlane)
  const [port = 0] = await freePorts(1)
  return serve({
    listen: { host: '127.0.0.1', port },
    registration: {
      to: { url: `https://127.0.0.1:${port}` },
      secret: 'meshvip-tls',
      selfManaged: true,
      // Nobody has to wait for what is only to happen once.
      times: { registrar: { unprovenInterval: 100 }, follower: { interval: 250 } },
    },
    ...options,
    kubeconfig: await inOwnNamespace(options.kubeconfig ?? controlPlane.kubeconfig),
  })
}

/** Serves it, and resolves when the API server asks it. */
export const startWebhook = async (controlPlane: ControlPlane, options: WebhookOptions = {}): Promise<Serving> => {
  const serving = await serveFor(controlPlane, options)
  try {
    await untilActive(controlPlane)
    return serving
  } catch (error) {
    await serving.close()
    throw error
  }
}
