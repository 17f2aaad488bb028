import { readFile } from 'node:fs/promises'
import { parseAllDocuments } from 'yaml'
import { installCrds } from './crds.ts'
import type { Kubectl } from './kubectl.ts'

/** What the rules and the view read. */
const READ = ['virtualservices', 'serviceentries', 'destinationrules'].map((plural) => `${plural}.networking.istio.io`)

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
  return installCrds(
    kubectl,
    chosen.map(({ item }) => item),
  )
}
