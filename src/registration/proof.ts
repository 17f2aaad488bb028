import { createHash } from 'node:crypto'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { ApiError } from '../kubernetes/client.ts'

/**
 * The label of the Service by which a way to us is proved; nobody else needs it. Its value tells ways apart: an API server that has not
 * heard of this one yet would ask by the one before, and prove that.
 */
export const probeLabels = (way: { endpoint: object; caBundle: string }): Record<string, string> => {
  const digest = createHash('sha256')
    .update(JSON.stringify([way.endpoint, way.caBundle]))
    .digest('hex')
  return { 'meshvip.dev/probe': digest.slice(0, 32) }
}

/** What we answer to it: a denial that nobody else says. */
export const probeAnswer =
  'meshvip is reached: nothing is wrong, this Service is refused to prove the way to the webhook'

/** Milliseconds for the API server to ask us and to tell what we said. */
const proofTimeout = 10_000

/**
 * Asks the API server, by a dry run, for a Service that only we refuse, and nobody but us in these words. Resolves to undefined where it
 * was refused so: the API server has our address, finds us there, trusts our certificate, and heeds what we say. Otherwise to why not.
 */
export const whyNotReached = async (
  client: Pick<KubernetesClient, 'create'>,
  namespace: string,
  way: Parameters<typeof probeLabels>[0],
  signal: AbortSignal,
): Promise<string | undefined> => {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name: 'meshvip-probe', labels: probeLabels(way) },
    spec: { ports: [{ name: 'http', port: 8080 }] },
  }
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(proofTimeout)])
  try {
    await client.create('Service', service, { dryRun: true }, inTime)
    return 'the API server does not ask us yet'
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return error.message.includes(probeAnswer) ? undefined : error.message
  }
}
