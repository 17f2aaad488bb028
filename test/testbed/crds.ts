import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubectl } from './kubectl.ts'

const LIMIT_MS = 30_000

/** Installs CRDs; resolves when their kinds can be listed. */
export const installCrds = async (
  kubectl: Kubectl,
  crds: ({ metadata?: { name?: string } } | null)[],
): Promise<void> => {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crds })
  // By the server, since a client-side apply copies each CRD into an annotation that is too long for it.
  const applied = await kubectl(['apply', '--server-side', '-f', '-'], { input })
  if (applied.code !== 0) throw new Error(`the CRDs were refused: ${applied.stderr}`)

  const names = crds.map((crd) => crd?.metadata?.name).join(',')
  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    // Established alone is too early: the API server starts to serve the new path a moment later.
    const listed = await kubectl(['get', names, '--all-namespaces'])
    if (listed.code === 0) return
    if (Date.now() > deadline) throw new Error(`the CRDs are not served: ${listed.stderr}`)
    await sleep(100)
  }
}
