//! Frequent words and endings of the languages in Latin letters: what tells short texts apart.
//!
//! Function words first, then the verbs and nouns of requests, since instructions are what is read most. A word may stand
//! in several lists; the more languages share it, the less it says.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::Language;

/// Languages a word of Latin letters can vote for, in the order of the votes.
pub(super) const LATIN: [Language; 12] = [
    Language::English,
    Language::Spanish,
    Language::French,
    Language::German,
    Language::Portuguese,
    Language::Italian,
    Language::Dutch,
    Language::Swedish,
    Language::Turkish,
    Language::Vietnamese,
    Language::Polish,
    Language::Indonesian,
];

pub(super) const EN: usize = 0;
pub(super) const ES: usize = 1;
pub(super) const FR: usize = 2;
pub(super) const DE: usize = 3;
pub(super) const PT: usize = 4;
pub(super) const IT: usize = 5;
pub(super) const NL: usize = 6;
pub(super) const SV: usize = 7;
pub(super) const TR: usize = 8;
pub(super) const VI: usize = 9;
pub(super) const PL: usize = 10;
pub(super) const ID: usize = 11;

/// A bit for each language of [`LATIN`] that has the word (lower case).
pub(super) fn languages_of(word: &str) -> u16 {
    // A word of many parts is asked for again from each of them on: longer ones are not even hashed.
    if word.len() > WORD_BYTES_MAX { 0 } else { WORDS.get(word).copied().unwrap_or(0) }
}

/// No word of the lists has more bytes.
const WORD_BYTES_MAX: usize = 24;

static WORDS: LazyLock<FxHashMap<&'static str, u16>> = LazyLock::new(|| {
    let mut words = FxHashMap::default();
    for (index, list) in LISTS.iter().enumerate() {
        for word in list.split_whitespace() {
            debug_assert!(word.len() <= WORD_BYTES_MAX, "{word}");
            *words.entry(word).or_insert(0) |= 1 << index;
        }
    }
    words
});

const LISTS: [&str; 12] = [
    // English
    "the a an and or but if of to in on at by for from with without about into over under between after before during
    through against than as is are was were be been being am has have had do does did done will would can could shall
    should may might must not no nor so very too also just only both each every any some all most more less few many much
    other another such own same this that these those it its he him his she her they them their we us our you your i me
    my who whom whose which what when where why how there here then now again once while because until up down out off
    write give list explain describe make create find tell show summarize summarise translate rewrite generate suggest
    compare add remove change convert calculate check fix help please let's what's i'm don't doesn't can't it's answer
    question word words sentence sentences paragraph story poem email letter short long new old good better best name
    number way ways people time year day first last two three four five ten following using use need want get take keep
    put turn provide identify classify edit design draft think know see look come go say said one explain shorten
    yesterday today tomorrow week month simplify define sort count plan book track show rank draw bake invent extract merge delete reset wake cancel rename remind sum pick recommend design improve correct rephrase paraphrase outline predict solve evaluate analyze analyse discuss construct brainstorm determine rate choose select complete match guess estimate prove build develop implement cheap weather data set between differentiate order price customer code function text reply review report meeting money work
    account card payment bank transfer pay top limit why won't isn't didn't haven't i've you're they're we're there's",
    // Spanish
    "el la los las un una unos unas y e o u pero si de del al a en con por para sin sobre entre hasta desde hacia según
    que qué quién cuál cuáles cómo cuándo dónde cuánto cuántos cuántas como cuando donde porque aunque mientras es son era
    fue ser está están estar estoy hay ha han he tiene tienen tengo tener hacer hace hago puede puedes pueden puedo poder
    debe debo quiero quiere necesito necesita me te se nos os le les lo mi mis tu tus su sus nuestro nuestra nuestros este
    esta estos estas ese esa esos esas eso esto aquel yo tú él ella usted ustedes ellos ellas nosotros no ni sí ya más
    menos muy mucho mucha muchos poco también tampoco siempre nunca ahora hoy ayer mañana aquí allí bien mal todo toda
    todos todas otro otra otros cada algo nada alguien cualquier mismo misma dos tres cuatro cinco seis siete ocho nueve
    diez escribe escriba haz haga dame deme dime explica explícame explique resume resuma traduce traduzca enumera lista
    crea genera describe encuentra busca corrige convierte calcula compara menciona clasifica ordena añade agrega elimina
    cambia sugiere sugiéreme redacta ayúdame ayuda prepara revisa responde identifica elige propón muéstrame cuéntame
    pon quita necesitamos texto frase frases oración párrafo palabra palabras correo carta cuento poema pregunta respuesta
    ejemplo ejemplos ideas idea nombre nombres número tabla siguiente siguientes forma manera días día semana mes año años
    hora horas persona personas gente trabajo casa ciudad empresa cliente clientes pedido precio cuenta código programa
    función artículo libro diferencia ventajas favor gracias hola buenos correcto español inglés francés qué
    reserva borra ordena cuenta devuelve planifica inventa extrae cancela mejora acorta ponle une unir reescribe reescríbelo
    dibuja verifica comprueba simplifica muestra devuélveme ciudades tienda precios barato baratos quién cambiar escribir
    crear encontrar mejorar completa completar analiza analizar evalúa diseña resuelve predice recomienda desarrolla elabora
    construye describa nueva nuevo nuevas nuevos gran grande mejor mejores peor lista página título fecha entrega tono",
    // French
    "le la les un une des du de et ou mais donc ni car si à au aux en dans par pour sur sous avec sans chez vers
    entre depuis pendant avant après contre que qui quoi dont où quel quelle quels quelles comment quand pourquoi
    combien parce lorsque puisque est sont était être suis es été fut sera a ont avoir ai as avons avez avait fait faire
    faut peut peux peuvent pouvez pouvoir dois doit devez veux veut voudrais je tu il elle on nous vous ils elles me
    te se lui leur leurs y mon ma mes ton ta tes son sa ses notre nos votre vos ce cet cette ces cela ça ceci ne
    pas plus moins très trop peu beaucoup aussi encore toujours jamais déjà ici là bien mal tout toute tous toutes autre
    autres chaque même quelques plusieurs aucun rien deux trois quatre cinq six sept huit neuf dix écris écrivez écrire
    donne donnez donne-moi donnez-moi explique expliquez explique-moi résume résumez traduis traduisez liste énumère
    rédige rédigez crée créez génère décris décrivez trouve trouvez corrige corrigez convertis calcule compare comparez
    propose proposez ajoute ajoutez supprime remplace change transforme classe cite aide aide-moi aidez-moi montre dis
    dis-moi raconte prépare vérifie réponds identifie reformule texte phrase phrases paragraphe mot mots courriel lettre
    histoire poème question réponse exemple exemples idées idée nom noms nombre tableau suivant suivante suivants façon
    manière jour jours semaine mois année ans heure heures personne personnes gens travail maison ville entreprise client
    clients commande prix compte fonction article livre différence avantages merci bonjour français anglais s'il
    réserve supprime trie compte définis rembourse affiche réveille planifie invente extrais annule améliore raccourcis
    cherche fusionne simplifie récris réécris dessine vérifie manque marche écrire créer trouver améliorer complète
    analyse évalue conçois résous prédis recommande développe élabore construis décrire nouvelle nouveau nouvelles nouveaux
    grand grande meilleur meilleure meilleurs liste page titre date livraison villes boutique ton",
    // German
    "der die das den dem des ein eine einen einem einer eines und oder aber denn wenn als ob dass weil da zu zum zur in im
    ins an am auf aus bei beim mit nach von vom vor für über unter durch gegen ohne um bis seit während zwischen wegen
    ist sind war waren sein bin bist seid wird werden wurde worden hat haben hatte habe hast kann kannst können könnte
    könntest könnten soll sollte sollen muss müssen musst will wollen willst möchte möchten darf dürfen mag lassen lass
    ich du er sie es wir ihr mich dich sich uns euch mir dir ihm ihn ihnen ihre ihren ihrem ihrer mein meine meinen meinem
    meiner dein deine deinen seine seinen unser unsere unseren dieser diese dieses diesen diesem jeder jede jedes welche
    welcher welches welchen was wer wen wem wie wo wohin woher wann warum wieso nicht kein keine keinen nur noch auch
    schon sehr mehr weniger viel viele alle alles etwas nichts man hier dort dann jetzt heute morgen gestern immer nie
    wieder bitte so gut besser zwei drei vier fünf sechs sieben acht neun zehn schreib schreibe schreiben erkläre erklär
    erklären gib geben nenne nennen liste beschreibe beschreiben fasse fass zusammen übersetze übersetzen erstelle
    erstellen finde finden korrigiere formuliere wandle berechne vergleiche vergleichen ergänze entferne ändere ordne
    sortiere schlage schlag vor hilf zeig zeige sag erzähl erzähle prüfe prüf mach mache mach's verfasse entwirf
    generiere kürze satz sätze text wort wörter absatz brief geschichte gedicht frage fragen antwort beispiel beispiele
    ideen idee name namen zahl zahlen tabelle folgende folgenden folgender tag tage woche monat jahr jahre uhr stunde
    stunden leute menschen arbeit haus stadt firma unternehmen kunde kunden bestellung preis konto funktion artikel buch
    unterschied vorteile danke hallo deutsch englisch gibt geht wurden ab
    reserviere lösche zähle definiere erstatte weck plane erfinde extrahiere kündige brauche verbessere suche verbinde
    vereinfache zeichne klappt lässt öffnen analysiere bewerte entwickle löse empfehle vervollständige baue berate neue neuen
    neuer großen große besten beste liste seite titel datum städte laden ton schrieb",
    // Portuguese
    "o a os as um uma uns umas e ou mas se de do da dos das ao aos à às em no na nos nas num numa por pelo pela pelos
    pelas para pra com sem sobre entre até desde que quem qual quais como quando onde quanto quantos quantas porque por
    é são era foi ser está estão estar estou há tem têm tenho ter fazer faz faço pode podem posso poder deve devo quero
    quer preciso precisa precisamos eu tu você vocês ele ela eles elas nós me te lhe lhes meu minha meus minhas teu tua
    seu sua seus suas nosso nossa nossos este esta estes estas esse essa esses essas isso isto aquele aquilo não nem sim
    já mais menos muito muita muitos muitas pouco também sempre nunca agora hoje ontem amanhã aqui ali bem mal tudo todo
    toda todos todas outro outra outros cada algo nada alguém qualquer mesmo mesma dois duas três quatro cinco seis sete
    oito nove dez escreva escreve faça faz dê dá diga explique explica resuma resumir traduza traduz liste crie gere
    descreva encontre ache corrija converta calcule compare cite mencione classifique ordene adicione acrescente remova
    retire mude troque sugira redija ajude-me ajuda prepare revise responda identifique escolha proponha mostre mostra
    conte coloque elabore texto frase frases oração parágrafo palavra palavras carta história conto poema pergunta
    resposta exemplo exemplos ideias ideia nome nomes número tabela seguinte seguintes forma maneira dias dia semana mês
    ano anos hora horas pessoa pessoas gente trabalho casa cidade empresa cliente clientes pedido preço conta código
    função artigo livro diferença vantagens favor obrigado obrigada olá português inglês lá então sou foram seria
    reserva apague ordene defina reembolse acorde planeje invente extraia cancele melhore encurte sugira procure junte
    simplifique reescreva desenhe verifique altere escrever criar encontrar melhorar complete analise avalie projete resolva
    recomende desenvolva construa nova novo novas novos grande melhor melhores pior lista página título data entrega cidades
    loja baratos consigo parou funciona tom",
    // Italian
    "il lo la i gli le l un uno una e ed o ma se di del dello della dei degli delle a al allo alla ai agli alle da dal
    dallo dalla dai in nel nello nella nei nelle con su sul sulla sui sulle per tra fra che chi cui quale quali come
    quando dove quanto quanti perché è sono era erano essere sei siamo stato ha hanno ho abbiamo avere aveva fare fa
    faccio può possono posso puoi potere deve devo devi voglio vuole vorrei io tu lui lei noi voi loro mi ti si ci vi ne
    mio mia miei mie tuo tua tuoi suo sua suoi nostro nostra vostro questo questa questi queste quello quella quelli non
    né sì già più meno molto molta molti poco anche sempre mai ora oggi ieri domani qui bene male tutto tutta tutti tutte
    altro altra altri ogni qualche nulla niente due tre quattro cinque sei sette otto nove dieci scrivi scriva dammi dimmi
    spiega spiegami riassumi traduci elenca crea genera descrivi trova correggi converti calcola confronta cita aggiungi
    rimuovi cambia suggerisci aiutami prepara rispondi proponi mostra mostrami fammi testo frase frasi parola parole
    lettera storia poesia domanda risposta esempio esempi idee nome nomi numero tabella seguente seguenti modo giorni
    giorno settimana mese anno anni ora ore persone lavoro casa città azienda cliente clienti ordine prezzo conto codice
    funzione articolo libro differenza vantaggi grazie ciao italiano inglese",
    // Dutch
    "de het een en of maar want als dat die dit deze van in op aan met voor door bij naar uit over onder tegen tussen
    zonder om tot sinds tijdens is zijn was waren ben bent wordt worden werd heeft hebben had heb hebt kan kunnen kun
    kunt zal zou zullen moet moeten wil willen mag ik jij je u hij zij ze wij we jullie mij me hem haar ons hun mijn jouw
    uw zijn onze wat wie waar wanneer waarom hoe welke welk niet geen nog ook al heel erg meer minder veel weinig alle
    alles iets niets men hier daar dan nu vandaag morgen gisteren altijd nooit weer graag twee drie vier vijf zes zeven
    acht negen tien schrijf geef leg uitleg vertel noem maak vind vertaal vat samen beschrijf bereken vergelijk verbeter
    herschrijf lijst voeg verwijder verander help toon bedenk zin zinnen tekst woord woorden brief verhaal gedicht vraag
    antwoord voorbeeld voorbeelden idee ideeën naam namen getal tabel volgende dag dagen week maand jaar uur mensen werk
    huis stad bedrijf klant klanten bestelling prijs rekening verschil bedankt hallo nederlands engels alsjeblieft",
    // Swedish
    "en ett den det de och eller men om att som i på av för till från med utan över under mellan efter innan vid hos är
    var vara varit blir bli blev har hade ha kan kunde ska skulle vill måste får jag du han hon vi ni dem mig dig sig oss
    er min mitt mina din ditt dina sin sitt sina hans hennes vår vårt våra deras denna detta dessa vad vem vilken vilka
    var när varför hur inte ingen inget inga också mycket mer mindre många alla allt något några någon här där nu idag
    imorgon igår alltid aldrig igen snälla två tre fyra fem sex sju åtta nio tio skriv ge förklara berätta lista gör
    skapa hitta översätt sammanfatta beskriv beräkna jämför rätta ändra lägg ta hjälp föreslå mening meningar text
    ord brev berättelse dikt fråga svar exempel idéer namn tal tabell följande dag dagar vecka månad år timmar människor
    arbete hus stad företag kund kunder beställning pris konto skillnad tack hej svenska engelska",
    // Turkish
    "bir ve veya ya da de ile için gibi kadar göre ama fakat çünkü eğer ki bu şu o bunu bunun buna bunlar onlar ben sen
    biz siz benim senin onun bizim sizin bana sana ona bize size ne nasıl neden niçin nerede ne zaman hangi kim kaç mı mi
    mu mü değil var yok en çok az daha hiç her tüm bütün bazı şimdi bugün yarın dün burada olarak olan olduğu olduğunu
    olur oldu üzerinde hakkında arasında sonra önce iki üç dört beş altı yedi sekiz dokuz on yaz yazın ver verin açıkla
    açıklayın listele anlat bul çevir özetle oluştur hazırla hesapla karşılaştır ekle sil değiştir düzelt öner tanımla
    söyle yardım et lütfen cümle cümleyi metin metni kelime paragraf mektup hikaye şiir soru cevap örnek fikir isim sayı
    tablo aşağıdaki gün hafta ay yıl saat insan iş ev şehir şirket müşteri sipariş fiyat fark teşekkürler merhaba türkçe
    ingilizce",
    // Vietnamese
    "và hoặc nhưng nếu của cho với trong trên dưới từ đến về ở tại bằng là có không được bị đã đang sẽ phải cần muốn nên
    thể tôi bạn anh chị em mình họ chúng ta này đó kia ấy gì nào ai đâu sao bao nhiêu khi vì thì mà như rất cũng chỉ còn
    nữa hơn nhất một hai ba bốn năm sáu bảy tám chín mười các những mỗi mọi nhiều ít viết hãy giúp giải thích liệt kê
    cho dịch tóm tắt tạo tìm sửa tính so sánh mô tả đề xuất thêm xóa đổi câu từ văn bản đoạn thư chuyện thơ hỏi trả lời
    ví dụ tên số bảng ngày tuần tháng năm giờ người việc nhà thành phố công ty khách hàng đơn giá làm sau trước lại ra
    vào lên xuống",
    // Polish
    "i oraz lub albo ale jeśli że w we na z ze do od po przez dla bez o przy pod nad między jest są był była było być
    będzie ma mają mam mieć może można mogę chcę musi ja ty on ona my wy oni mnie mi cię się go jej ich mój moja moje twój
    jego nasz ten ta to te tego tej tym tych co kto który która które jak kiedy gdzie dlaczego ile nie tak już bardzo
    więcej mniej wiele też także tylko wszystko każdy jeden dwa trzy cztery pięć napisz podaj wyjaśnij opisz wymień stwórz
    znajdź przetłumacz oblicz porównaj popraw dodaj usuń zmień proszę zdanie zdania tekst słowo słowa list przykład pomysły
    czy jako jeszcze teraz dzisiaj rok dni",
    // Indonesian
    "yang dan atau tetapi tapi jika kalau untuk dari ke di pada dengan tanpa oleh dalam tentang antara adalah ialah ada
    tidak bukan belum sudah telah akan sedang bisa dapat harus ingin mau saya aku kamu anda dia kami kita mereka ini itu
    apa siapa mana kapan dimana mengapa kenapa bagaimana berapa sangat lebih kurang paling juga hanya saja semua setiap
    beberapa satu dua tiga empat lima enam tujuh delapan sembilan sepuluh tulis tuliskan buat buatlah buatkan jelaskan
    berikan sebutkan terjemahkan ringkas cari hitung bandingkan perbaiki tambahkan hapus ubah tolong bantu kalimat teks
    kata paragraf surat cerita puisi pertanyaan jawaban contoh ide nama angka tabel berikut hari minggu bulan tahun jam
    orang kerja rumah kota perusahaan pelanggan pesanan harga para seperti karena sebagai bahwa",
];

/// What the end of a word says that is in no list, language by language.
pub(super) fn ending_votes(word: &str) -> impl Iterator<Item = (usize, f32)> {
    let last = word.bytes().next_back().unwrap_or(0);
    let endings = &BY_LAST_BYTE[usize::from(last)];
    endings.iter().filter(|(ending, ..)| word.ends_with(ending)).map(|&(_, language, vote)| (language, vote))
}

type Ending = (&'static str, usize, f32);

static BY_LAST_BYTE: LazyLock<Vec<Vec<Ending>>> = LazyLock::new(|| {
    let mut by_last = vec![Vec::new(); 256];
    for ending in ENDINGS {
        by_last[usize::from(ending.0.as_bytes()[ending.0.len() - 1])].push(*ending);
    }
    by_last
});

const ENDINGS: &[Ending] = &[
    ("ing", EN, 0.6),
    ("ly", EN, 0.4),
    ("ness", EN, 0.7),
    ("tion", EN, 0.3),
    ("tion", FR, 0.3),
    ("tions", EN, 0.3),
    ("tions", FR, 0.3),
    ("ight", EN, 0.7),
    ("ful", EN, 0.5),
    ("able", EN, 0.2),
    ("able", FR, 0.2),
    ("ed", EN, 0.3),
    ("ción", ES, 1.3),
    ("ciones", ES, 1.2),
    ("sión", ES, 1.0),
    ("dad", ES, 0.8),
    ("dades", ES, 0.6),
    ("dades", PT, 0.6),
    ("miento", ES, 1.0),
    ("ños", ES, 1.0),
    ("ico", ES, 0.2),
    ("ico", PT, 0.2),
    ("ico", IT, 0.2),
    ("ión", ES, 0.8),
    ("eur", FR, 0.6),
    ("eurs", FR, 0.7),
    ("eux", FR, 0.8),
    ("euse", FR, 0.8),
    ("aux", FR, 0.7),
    ("ement", FR, 0.4),
    ("ement", EN, 0.1),
    ("ique", FR, 0.7),
    ("iques", FR, 0.8),
    ("ez", FR, 0.6),
    ("elle", FR, 0.4),
    ("ette", FR, 0.4),
    ("ère", FR, 0.7),
    ("ées", FR, 0.7),
    ("ée", FR, 0.6),
    ("ung", DE, 0.8),
    ("ungen", DE, 1.0),
    ("keit", DE, 1.0),
    ("heit", DE, 0.9),
    ("lich", DE, 0.9),
    ("liche", DE, 0.9),
    ("lichen", DE, 1.0),
    ("isch", DE, 0.8),
    ("ische", DE, 0.8),
    ("ischen", DE, 1.0),
    ("schaft", DE, 1.0),
    ("ieren", DE, 0.9),
    ("iert", DE, 0.7),
    ("chen", DE, 0.6),
    ("ben", DE, 0.3),
    ("gen", DE, 0.3),
    ("ten", DE, 0.2),
    ("ção", PT, 1.3),
    ("ções", PT, 1.3),
    ("são", PT, 0.9),
    ("dade", PT, 0.9),
    ("agem", PT, 0.7),
    ("mento", PT, 0.4),
    ("mento", IT, 0.4),
    ("eiro", PT, 0.8),
    ("eira", PT, 0.7),
    ("inho", PT, 0.8),
    ("zione", IT, 1.2),
    ("zioni", IT, 1.2),
    ("ità", IT, 1.0),
    ("aggio", IT, 1.0),
    ("etto", IT, 0.5),
    ("heid", NL, 0.9),
    ("lijk", NL, 1.0),
    ("lijke", NL, 1.0),
    ("ingen", NL, 0.3),
    ("ingen", SV, 0.3),
    ("arna", SV, 0.8),
    ("erna", SV, 0.8),
    ("lar", TR, 0.5),
    ("ler", TR, 0.4),
    ("ları", TR, 1.0),
    ("leri", TR, 0.8),
    ("ować", PL, 1.0),
    ("ego", PL, 0.4),
    ("ych", PL, 0.6),
    ("kan", ID, 0.4),
    ("nya", ID, 0.7),
];

/// What letters beyond ASCII (lower case) say.
pub(super) fn letter_votes(letter: char) -> &'static [(usize, f32)] {
    match letter {
        'ñ' => &[(ES, 1.2)],
        'ã' | 'õ' => &[(PT, 1.2), (VI, 0.3)],
        'ç' => &[(FR, 0.4), (PT, 0.5), (TR, 0.4)],
        'ß' => &[(DE, 2.0)],
        'ä' => &[(DE, 0.6), (SV, 0.5)],
        'ö' => &[(DE, 0.5), (SV, 0.5), (TR, 0.4)],
        'ü' => &[(DE, 0.6), (TR, 0.5), (ES, 0.1)],
        'å' => &[(SV, 1.2)],
        'é' => &[(FR, 0.5), (ES, 0.25), (PT, 0.2), (VI, 0.1)],
        'è' => &[(FR, 0.6), (IT, 0.4)],
        'à' => &[(FR, 0.3), (IT, 0.3), (PT, 0.1), (VI, 0.2)],
        'ê' => &[(FR, 0.4), (PT, 0.4), (VI, 0.3)],
        'â' | 'ô' => &[(FR, 0.3), (PT, 0.3), (VI, 0.3)],
        'î' | 'û' | 'œ' => &[(FR, 0.8)],
        'ë' | 'ï' => &[(FR, 0.4), (NL, 0.4)],
        'ì' | 'ò' => &[(IT, 0.6), (VI, 0.4)],
        'ù' => &[(IT, 0.4), (FR, 0.3), (VI, 0.3)],
        'á' | 'í' | 'ó' | 'ú' => &[(ES, 0.4), (PT, 0.35), (VI, 0.15), (PL, 0.05)],
        'ğ' | 'ş' | 'ı' => &[(TR, 1.5)],
        'ł' | 'ą' | 'ę' | 'ś' | 'ź' | 'ż' | 'ć' | 'ń' => &[(PL, 1.5)],
        'đ' | 'ơ' | 'ư' | 'ă' | 'ĩ' | 'ũ' => &[(VI, 1.2)],
        '\u{1ea0}'..='\u{1ef9}' => &[(VI, 1.5)],
        '¿' | '¡' => &[(ES, 3.0)],
        _ => &[],
    }
}
