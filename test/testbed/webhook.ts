import { setTimeout as sleep } from 'node:timers/promises'
import { webhookConfigurations } from '../../src/registration/webhook-configurations.ts'
import { type ServeOptions, type Serving, serve } from '../../src/server/serve.ts'
import type { ControlPlane } from './control-plane.ts'

const LIMIT_MS = 30_000

const probe = (port: object): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'meshvip-probe', namespace: 'default', labels: { 'meshvip.dev/virtual-host': 'true' } },
    spec: { ports: [port] },
  })

/** Applies manifests; throws with what kubectl said where they are refused. */
export const apply = async ({ kubectl }: Pick<ControlPlane, 'kubectl'>, input: string): Promise<void> => {
  const { code, stderr } = await kubectl(['apply', '--server-side', '-f', '-'], { input })
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
  Pick<ServeOptions, 'collect' | 'config' | 'kubeconfig' | 'log' | 'listen' | 'metricsListen'>
>

/** Tells the API server to ask the webhook at a URL, whose certificate this CA (PEM) signed. */
export const register = (controlPlane: Pick<ControlPlane, 'kubectl'>, url: string, caBundle: string): Promise<void> => {
  const registration = { endpoint: { url }, caBundle, clusterDomain: 'cluster.local' }
  const { mutating, validating } = webhookConfigurations(registration)
  return apply(controlPlane, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [mutating, validating] }))
}

/** Serves the webhook for a control plane, registers it by URL, and resolves when the API server asks it. */
export const startWebhook = async (controlPlane: ControlPlane, options: WebhookOptions = {}): Promise<Serving> => {
  const serving = await serve({
    listen: { host: '127.0.0.1', port: 0 },
    kubeconfig: controlPlane.kubeconfig,
    ...options,
  })
  try {
    await register(controlPlane, serving.url, serving.ca?.pem ?? '')
    await untilActive(controlPlane)
    return serving
  } catch (error) {
    await serving.close()
    throw error
  }
}
