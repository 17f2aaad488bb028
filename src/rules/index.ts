import type { DeletionSubject, Rule, ServiceSubject, VirtualServiceSubject } from './rule.ts'
import { serviceGatewayLabel } from './service-gateway-label.ts'
import { serviceHeadless } from './service-headless.ts'
import { serviceInUse, serviceInUseDeletion } from './service-in-use.ts'
import { servicePort80 } from './service-port-80.ts'
import { servicePortName } from './service-port-name.ts'
import { servicePortUnique } from './service-port-unique.ts'
import { serviceReservedPort } from './service-reserved-port.ts'
import { serviceSelector } from './service-selector.ts'
import { serviceType } from './service-type.ts'
import { serviceVipMissing } from './service-vip-missing.ts'
import { serviceVipOutsidePool } from './service-vip-outside-pool.ts'
import { serviceVipTaken } from './service-vip-taken.ts'
import { virtualServiceAmbient } from './virtualservice-ambient.ts'
import { virtualServiceDelegateConflict } from './virtualservice-delegate-conflict.ts'
import { virtualServiceDelegateUnknown } from './virtualservice-delegate-unknown.ts'
import { virtualServiceDestinationEmpty } from './virtualservice-destination-empty.ts'
import { virtualServiceDestinationForm } from './virtualservice-destination-form.ts'
import { virtualServiceDestinationPort } from './virtualservice-destination-port.ts'
import { virtualServiceDestinationPortName } from './virtualservice-destination-port-name.ts'
import { virtualServiceDestinationProtocol } from './virtualservice-destination-protocol.ts'
import { virtualServiceDestinationUnknown } from './virtualservice-destination-unknown.ts'
import { virtualServiceDestinationVirtualHost } from './virtualservice-destination-virtual-host.ts'
import { virtualServiceHostDuplicate } from './virtualservice-host-duplicate.ts'
import { virtualServiceHostForeign } from './virtualservice-host-foreign.ts'
import { virtualServiceHostForm } from './virtualservice-host-form.ts'
import { virtualServiceHostHeadless } from './virtualservice-host-headless.ts'
import { virtualServiceHostShort } from './virtualservice-host-short.ts'
import { virtualServiceHostUnknown } from './virtualservice-host-unknown.ts'
import { virtualServiceMatchPort } from './virtualservice-match-port.ts'
import { virtualServiceMeshGateway } from './virtualservice-mesh-gateway.ts'
import { virtualServicePortUnrouted } from './virtualservice-port-unrouted.ts'
import { virtualServiceRouteProtocol } from './virtualservice-route-protocol.ts'
import { virtualServiceRouteUnreachable } from './virtualservice-route-unreachable.ts'
import { virtualServiceSubsetUnknown } from './virtualservice-subset-unknown.ts'

export const serviceRules: readonly Rule<ServiceSubject>[] = [
  servicePort80,
  serviceReservedPort,
  servicePortName,
  servicePortUnique,
  serviceType,
  serviceHeadless,
  serviceSelector,
  serviceGatewayLabel,
  serviceVipMissing,
  serviceVipOutsidePool,
  serviceVipTaken,
  serviceInUse,
]

/** What rules of the table say of a Service that is deleted. */
export const serviceDeletionRules: readonly Rule<DeletionSubject>[] = [serviceInUseDeletion]

export const virtualServiceRules: readonly Rule<VirtualServiceSubject>[] = [
  virtualServiceMeshGateway,
  virtualServiceAmbient,
  virtualServiceHostForm,
  virtualServiceHostShort,
  virtualServiceHostUnknown,
  virtualServiceHostHeadless,
  virtualServiceHostDuplicate,
  virtualServiceHostForeign,
  virtualServiceMatchPort,
  virtualServicePortUnrouted,
  virtualServiceRouteProtocol,
  virtualServiceRouteUnreachable,
  virtualServiceDelegateUnknown,
  virtualServiceDelegateConflict,
  virtualServiceDestinationForm,
  virtualServiceDestinationUnknown,
  virtualServiceDestinationPort,
  virtualServiceDestinationPortName,
  virtualServiceDestinationProtocol,
  virtualServiceDestinationVirtualHost,
  virtualServiceDestinationEmpty,
  virtualServiceSubsetUnknown,
]

/** What is known of every rule without its subject: the table that the configuration and the docs are made from. */
export const rules: readonly Omit<Rule<never>, 'check'>[] = [...serviceRules, ...virtualServiceRules]
