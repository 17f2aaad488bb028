import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import type { Kubectl } from './kubectl.ts'

/** What the rules and the view read. */
const READ = ['virtualservices', 'serviceentries', 'destinationrules'].map((plural) => `${plural}.networking.istio.io`)
const LIMIT_MS = 30_000

/**
 * Installs Istio's CRDs for VirtualService, ServiceEntry and DestinationRule, or all that Istio has; resolves when these can be listed.
 */
export const installIstioCrds = async (
  file: string,
  kubectl: Kubectl,
  which: 'read' | 'all' = 'read',
): Promise<void> => {
  const all = parseAllDocuments(await readFile(file, 'utf8')).flatMap((document) => {
    const item = document.toJS() as { metadata?: { name?: string } } | null
    const name = item?.metadata?.name
    return name === undefined ? [] : [{ name, item }]
  })
  const chosen = which === 'all' ? all : all.filter(({ name }) => READ.includes(name))
  const names = chosen.map(({ name }) => name)
  if (READ.some((name) => names.filter((one) => one === name).length !== 1)) {
    throw new Error(`${file} does not hold each of the CRDs ${READ.join(', ')} once`)
  }
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: chosen.map(({ item }) => item) })
  // By the server, since a client-side apply copies each CRD into an annotation that is too long for it.
  const applied = await kubectl(['apply', '--server-side', '-f', '-'], { input })
  if (applied.code !== 0) throw new Error(`the CRDs of Istio were refused: ${applied.stderr}`)

  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    // Established alone is too early: the API server starts to serve the new path a moment later.
    const listed = await kubectl(['get', names.join(','), '--all-namespaces'])
    if (listed.code === 0) return
    if (Date.now() > deadline) throw new Error(`the CRDs of Istio are not served: ${listed.stderr}`)
    await sleep(100)
  }
}
