import type { PortClass } from './protocol.ts'

/** What a sidecar, or istiod, uses a port for. */
export type ReservedPort = {
  use: string
  /** `sidecar` ports exist in every injected pod; `istiod` ports only where the control plane runs. */
  by: 'sidecar' | 'istiod'
  /** Istio leaves out the listener of an HTTP port of this number, without a word. */
  skipsHttp?: true
}

/**
 * The ports that Istio documents as its own ("Application requirements", ports used by Istio), with 15009 of older releases.
 * Istio 1.31 silently leaves out HTTP listeners on 15001, 15006, 15021 and 15090: pilot/pkg/model/context.go,
 * conflictWithReservedListener.
 */
export const reservedPorts: ReadonlyMap<number, ReservedPort> = new Map<number, ReservedPort>([
  [15000, { use: "Envoy's admin interface", by: 'sidecar' }],
  [15001, { use: "Envoy's outbound listener", by: 'sidecar', skipsHttp: true }],
  [15002, { use: "the sidecar's failure detection", by: 'sidecar' }],
  [15004, { use: "the sidecar's debug interface", by: 'sidecar' }],
  [15006, { use: "Envoy's inbound listener", by: 'sidecar', skipsHttp: true }],
  [15008, { use: 'the HBONE mTLS tunnel', by: 'sidecar' }],
  [15009, { use: 'the HBONE plaintext tunnel', by: 'sidecar' }],
  [15020, { use: "the sidecar's merged Prometheus metrics", by: 'sidecar' }],
  [15021, { use: "the sidecar's health checks", by: 'sidecar', skipsHttp: true }],
  [15053, { use: "the sidecar's DNS proxy", by: 'sidecar' }],
  [15090, { use: "Envoy's Prometheus metrics", by: 'sidecar', skipsHttp: true }],
  [15010, { use: "istiod's plaintext XDS", by: 'istiod' }],
  [15012, { use: "istiod's XDS", by: 'istiod' }],
  [15014, { use: "istiod's metrics", by: 'istiod' }],
  [15017, { use: "istiod's webhooks", by: 'istiod' }],
])

/** Whether Istio leaves out the listener of a port: an HTTP one of a number that sidecars use themselves. */
export const isLeftOut = ({ number, class: portClass }: { number: number; class: PortClass }): boolean =>
  portClass === 'HTTP' && reservedPorts.get(number)?.skipsHttp === true
