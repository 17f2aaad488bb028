import type { Match, VirtualService } from '../api/virtual-service.ts'

/** The sidecar for which a configuration is generated. */
export type Client = {
  /** Its namespace; `elsewhere` for any that no object names. */
  namespace: string
  /** Its labels; `any` where nobody asks for one Pod, and whatever some Pod may be given counts. */
  labels: ReadonlyMap<string, string> | 'any'
}

/** No namespace can have this name, so that nothing is exported to it but what is exported to all. */
export const elsewhere = ''

/** Whether all of these labels are the client's. */
export const hasLabels = ({ labels }: Client, wanted: ReadonlyMap<string, string>): boolean =>
  labels === 'any' || [...wanted].every(([name, value]) => labels.get(name) === value)

/** Whether sidecars see a VirtualService at all. */
export const isOnMesh = ({ gateways }: Pick<VirtualService, 'gateways'>): boolean =>
  gateways.length === 0 || gateways.includes('mesh')

/** Where in istiod a match is left out of what a client is given. */
export type NotGiven = 'gateway' | 'source' | undefined

/**
 * Whether a client is given a match at all. In an http route `gateways` makes Istio read over the source.
 * Istio 1.31 pilot/pkg/networking/core/route/route.go, sourceMatchHTTP, and pilot/pkg/networking/core/tls.go, matchTCP and matchTLS.
 */
export const notGiven = (match: Match, isHttp: boolean, client: Client): NotGiven => {
  if (!isOnMesh(match)) return 'gateway'
  if (isHttp && match.gateways.length > 0) return undefined
  const isFromThere = match.sourceNamespace === '' || match.sourceNamespace === client.namespace
  return isFromThere && hasLabels(client, match.sourceLabels) ? undefined : 'source'
}

/** Whether a match that a client is given is given to some Pods of its namespace only. */
export const isForSomePods = (match: Match, isHttp: boolean, { labels }: Client): boolean =>
  labels === 'any' && match.sourceLabels.size > 0 && !(isHttp && match.gateways.length > 0)
