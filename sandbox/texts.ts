import type { OrderState } from './orders.ts';
import type { Language } from './parameters.ts';

/** What the checkout says, in one language. */
export interface Texts {
  readonly htmlLang: string;
  readonly languageName: string;
  readonly title: string;
  readonly sandboxNotice: string;
  readonly youPay: string;
  readonly youReceive: string;
  readonly unitPrice: string;
  readonly payee: string;
  readonly account: string;
  readonly payer: string;
  readonly orderNumber: string;
  readonly timeLeft: string;
  readonly minutesAndSeconds: (minutes: number, seconds: number) => string;
  readonly howTo: string;
  readonly paid: string;
  readonly cancel: string;
  readonly states: Readonly<Record<OrderState, { readonly title: string; readonly text: string }>>;
  readonly notFound: string;
}

export const TEXTS: Readonly<Record<Language, Texts>> = {
  en: {
    htmlLang: 'en',
    languageName: 'English',
    title: 'Buy MTC',
    sandboxNotice: 'Sandbox: no real money moves here.',
    youPay: 'Amount to pay',
    youReceive: 'MTC bought',
    unitPrice: 'Unit price',
    payee: 'Payee',
    account: 'Account',
    payer: 'Payer',
    orderNumber: 'Order number',
    timeLeft: 'Time left to pay',
    minutesAndSeconds: (minutes, seconds) => `${minutes} min ${seconds} s`,
    howTo: 'Transfer exactly this amount from an account in your own name, then confirm below.',
    paid: 'I have paid',
    cancel: 'Cancel the order',
    states: {
      WAITING: { title: 'Waiting for your payment', text: '' },
      PAID: { title: 'Payment reported', text: 'The seller is checking it and will release the MTC in a moment.' },
      RELEASED: { title: 'Completed', text: 'The MTC have been released. You can close this page.' },
      CANCELLED: { title: 'Cancelled', text: 'This order was cancelled. Please do not pay for it any more.' },
      EXPIRED: { title: 'Expired', text: 'The time to pay is over. Please do not pay for this order any more.' },
    },
    notFound: 'There is no such order.',
  },
  zh_CN: {
    htmlLang: 'zh-CN',
    languageName: '中文（简体）',
    title: '购买 MTC',
    sandboxNotice: '测试环境：此处不涉及任何真实资金。',
    youPay: '应付金额',
    youReceive: '购买数量',
    unitPrice: '单价',
    payee: '收款人',
    account: '收款账号',
    payer: '付款人',
    orderNumber: '订单号',
    timeLeft: '剩余付款时间',
    minutesAndSeconds: (minutes, seconds) => `${minutes} 分 ${seconds} 秒`,
    howTo: '请使用本人名下账户按上述金额转账，完成后点击下方按钮确认。',
    paid: '我已付款',
    cancel: '取消订单',
    states: {
      WAITING: { title: '等待付款', text: '' },
      PAID: { title: '已提交付款', text: '卖家正在核实，稍后将放行 MTC。' },
      RELEASED: { title: '交易完成', text: 'MTC 已放行，您可以关闭此页面。' },
      CANCELLED: { title: '订单已取消', text: '此订单已取消，请勿再付款。' },
      EXPIRED: { title: '订单已超时', text: '付款时间已过，请勿再为此订单付款。' },
    },
    notFound: '订单不存在。',
  },
  zh_TW: {
    htmlLang: 'zh-TW',
    languageName: '中文（繁體）',
    title: '購買 MTC',
    sandboxNotice: '測試環境：此處不涉及任何真實資金。',
    youPay: '應付金額',
    youReceive: '購買數量',
    unitPrice: '單價',
    payee: '收款人',
    account: '收款帳號',
    payer: '付款人',
    orderNumber: '訂單編號',
    timeLeft: '剩餘付款時間',
    minutesAndSeconds: (minutes, seconds) => `${minutes} 分 ${seconds} 秒`,
    howTo: '請使用本人名下帳戶依上述金額轉帳，完成後點選下方按鈕確認。',
    paid: '我已付款',
    cancel: '取消訂單',
    states: {
      WAITING: { title: '等待付款', text: '' },
      PAID: { title: '已提交付款', text: '賣家正在核實，稍後將放行 MTC。' },
      RELEASED: { title: '交易完成', text: 'MTC 已放行，您可以關閉此頁面。' },
      CANCELLED: { title: '訂單已取消', text: '此訂單已取消，請勿再付款。' },
      EXPIRED: { title: '訂單已逾時', text: '付款時間已過，請勿再為此訂單付款。' },
    },
    notFound: '訂單不存在。',
  },
};
