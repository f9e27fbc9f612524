export type Status = 'New' | 'Packing' | 'Shipped' | 'Late';

export interface Order {
  id: string;
  customer: string;
  city: string;
  placed: string;
  items: number;
  total: number;
  status: Status;
  /** How far along the way to the customer, 0 to 1. */
  progress: number;
}

export const orders: readonly Order[] = [
  { id: '20418', customer: 'Maren Holt', city: 'Bergen', placed: '10:42', items: 3, total: 428.5, status: 'New', progress: 0.08 },
  { id: '20417', customer: 'Atelier Nord', city: 'Lille', placed: '10:31', items: 12, total: 1916, status: 'Packing', progress: 0.36 },
  { id: '20416', customer: 'Ines Carvalho', city: 'Porto', placed: '10:05', items: 1, total: 89.9, status: 'Packing', progress: 0.52 },
  { id: '20415', customer: 'Velo Werkstatt', city: 'Graz', placed: '09:48', items: 7, total: 1204.25, status: 'Shipped', progress: 0.88 },
  { id: '20414', customer: 'Tomasz Wrona', city: 'Gdańsk', placed: '09:20', items: 2, total: 164, status: 'Late', progress: 0.61 },
  { id: '20413', customer: 'Harbour & Sons', city: 'Cork', placed: '08:57', items: 18, total: 3480, status: 'Shipped', progress: 1 },
];

export const euros = (value: number) =>
  new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' }).format(value);
