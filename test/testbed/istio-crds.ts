import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import type { Kubectl } from './kubectl.ts'

const NAMES = ['virtualservices', 'serviceentries', 'destinationrules'].map((plural) => `${plural}.networking.istio.io`)
const LIMIT_MS = 30_000

/** Installs Istio's CRDs for VirtualService, ServiceEntry and DestinationRule; resolves when all three can be listed. */
export const installIstioCrds = async (file: string, kubectl: Kubectl): Promise<void> => {
  const items = parseAllDocuments(await readFile(file, 'utf8'))
    .map((document) => document.toJS() as { metadata?: { name?: string } } | null)
    .filter((item) => NAMES.includes(item?.metadata?.name ?? ''))
  if (items.length !== NAMES.length) throw new Error(`${file} does not hold each of the CRDs ${NAMES.join(', ')} once`)
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  // By the server, since a client-side apply copies each CRD into an annotation that is too long for it.
  const applied = await kubectl(['apply', '--server-side', '-f', '-'], { input })
  if (applied.code !== 0) throw new Error(`the CRDs of Istio were refused: ${applied.stderr}`)

  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    // Established alone is too early: the API server starts to serve the new path a moment later.
    const listed = await kubectl(['get', NAMES.join(','), '--all-namespaces'])
    if (listed.code === 0) return
    if (Date.now() > deadline) throw new Error(`the CRDs of Istio are not served: ${listed.stderr}`)
    await sleep(100)
  }
}
